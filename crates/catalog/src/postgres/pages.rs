//! The rows of queries that are too many for memory, page by page. The next page of each is fetched by a thread while the
//! one before it is worked on, so that the server and whoever reads have a processor each.

use std::sync::mpsc::{self, Receiver, Sender};
use std::{thread, vec};

use dvb_pg::PostgresTarget;
use postgres::Row;

use super::session::Session;
use super::text::Encoding;
use crate::CatalogError;

/// Rows fetched at a time: a few megabytes.
const PAGE: usize = 5_000;

type PageOfRows = Result<Vec<Row>, CatalogError>;

/// What the thread is to fetch.
enum Wanted {
    /// The first page of another query.
    First { what: &'static str, sql: String, pages: Sender<PageOfRows> },
    /// The next page of the query with this number, in the order in which they were begun.
    Next(usize),
}

/// Begins queries, any number of which may be read beside each other.
pub(super) struct Reader<'a> {
    target: &'a PostgresTarget,
    encoding: &'a Encoding,
    ask: Sender<Wanted>,
    begun: usize,
}

/// Has `work` read from a transaction. Whatever it leaves unread is not fetched, but for a page.
pub(super) fn with_reader<T>(
    session: &mut Session<'_>,
    work: impl FnOnce(&mut Reader<'_>) -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    let (target, encoding) = (session.target, session.encoding.clone());
    thread::scope(|scope| {
        let (ask, asked) = mpsc::channel();
        scope.spawn(move || fetch(session, &asked));
        work(&mut Reader { target, encoding: &encoding, ask, begun: 0 })
    })
}

/// Fetches what is asked for until nobody can ask any more.
fn fetch(session: &mut Session<'_>, asked: &Receiver<Wanted>) {
    let mut cursors = Vec::new();
    for wanted in asked {
        let number = match wanted {
            Wanted::First { what, sql, pages } => {
                let name = format!("page_{}", cursors.len());
                let declared = session.run(what, &format!("DECLARE {name} NO SCROLL CURSOR FOR {sql}"));
                cursors.push((what, format!("FETCH FORWARD {PAGE} FROM {name}"), pages));
                if let Err(error) = declared {
                    answer(cursors.last(), Err(error));
                    continue;
                }
                cursors.len() - 1
            }
            Wanted::Next(number) => number,
        };
        let cursor = cursors.get(number);
        if let Some((what, sql, _)) = cursor {
            answer(cursor, session.query(what, sql, &[]));
        }
    }
}

fn answer(cursor: Option<&(&'static str, String, Sender<PageOfRows>)>, page: PageOfRows) {
    if let Some((_, _, pages)) = cursor {
        // Nobody waits for it where the reading was broken off.
        let _ = pages.send(page);
    }
}

impl<'a> Reader<'a> {
    /// The rows of a query. Its first page is on its way from now on.
    pub(super) fn rows(&mut self, what: &'static str, sql: String) -> Rows<'a> {
        let (pages, coming) = mpsc::channel();
        // Where the thread has ended, the wait for the page says so.
        let _ = self.ask.send(Wanted::First { what, sql, pages });
        let number = self.begun;
        self.begun += 1;
        let (target, encoding, ask) = (self.target, self.encoding, self.ask.clone());
        Rows { what, target, encoding, number, ask, coming: Some(coming), page: Vec::new().into_iter() }
    }
}

/// The rows of one query, in its order.
pub(super) struct Rows<'a> {
    what: &'static str,
    target: &'a PostgresTarget,
    /// What the bytes of its texts mean.
    pub(super) encoding: &'a Encoding,
    number: usize,
    ask: Sender<Wanted>,
    coming: Option<Receiver<PageOfRows>>, // until its last page
    page: vec::IntoIter<Row>,
}

impl Rows<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Row>, CatalogError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        let Some(coming) = &self.coming else { return Ok(None) };
        let page = coming.recv().unwrap_or_else(|_| Err(self.broken()))?;
        if page.len() < PAGE {
            // A server that gave fewer has none left.
            self.coming = None;
        } else {
            let _ = self.ask.send(Wanted::Next(self.number)); // as above
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }

    /// A column of this row cannot be read.
    pub(super) fn error(&self, error: postgres::Error) -> CatalogError {
        CatalogError::statement(self.target, self.what, error)
    }

    /// Never taken for the end of the rows: what is missing then would be called gone.
    fn broken(&self) -> CatalogError {
        let (target, what) = (self.target.describe(), self.what);
        CatalogError::Query { target, what, source: "the thread that reads its rows has broken down".into() }
    }
}
