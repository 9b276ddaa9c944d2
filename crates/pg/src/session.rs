//! Whether a connection keeps its session: behind a pooler that hands out its server connections by transactions, locks
//! and settings of a session are those of strangers.

use postgres::{Client, SimpleQueryMessage};

use crate::{Patience, PgError, PostgresTarget, connect_with};

/// Of this program alone; the server takes any name with a dot.
const SETTING: &str = "dataverse_backup.session";

/// How often the sessions are compared: other clients of a pooler may happen to put everything in its place.
const ROUNDS: u32 = 3;

/// Whether what is set in a session is gone, or somebody else's, in its next transaction. `one` is a connection to
/// `target`.
///
/// Another one is opened for a moment: alone in a pool, a client is handed the same server connection each time.
///
/// # Errors
/// As [`connect_with()`], and [`PgError::Query`].
pub fn is_pooled(target: &PostgresTarget, one: &mut Client, patience: &Patience) -> Result<bool, PgError> {
    let failed = |it| PgError::statement(target, "set up a session", it);
    let mut other = connect_with(target, patience)?;
    let set = [mark(one, "one").map_err(failed)?, mark(&mut other, "other").map_err(failed)?];
    if set[0].pid == set[1].pid {
        return Ok(true);
    }
    for _ in 0..ROUNDS {
        // Twice each: a pooler that takes its connections in turn would give both the same again.
        for (client, set) in [(&mut *one, &set[0]), (&mut other, &set[1])] {
            if seen(client).map_err(failed)? != *set || seen(client).map_err(failed)? != *set {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A session, as a transaction sees it.
#[derive(PartialEq, Eq)]
struct Session {
    pid: Option<String>,
    mark: Option<String>,
}

fn mark(client: &mut Client, name: &str) -> Result<Session, postgres::Error> {
    let mark = format!("{name} of {}", std::process::id());
    ask(client, &format!("SELECT pg_backend_pid(), set_config('{SETTING}', '{mark}', false)"))
}

fn seen(client: &mut Client) -> Result<Session, postgres::Error> {
    ask(client, &format!("SELECT pg_backend_pid(), current_setting('{SETTING}', true)"))
}

/// By the simple protocol: prepared statements are of a session too.
fn ask(client: &mut Client, sql: &str) -> Result<Session, postgres::Error> {
    let messages = client.simple_query(sql)?;
    let row = messages.iter().find_map(|it| match it {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None, // the driver's enum is open
    });
    let column = |at| row.and_then(|it| it.get(at)).map(str::to_owned);
    Ok(Session { pid: column(0), mark: column(1) })
}
