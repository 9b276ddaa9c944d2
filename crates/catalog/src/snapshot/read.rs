//! Reading a snapshot.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use dvb_model::{DataFile, Dataset, DvObjectId};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Gone, Held, HeldEntry, HistoryKind, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, SnapshotCounts, SnapshotHeader};
use crate::{Catalog, CatalogError, Detail, Entry};

/// How a file that zstd compressed begins; a plain snapshot begins with `{`.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A data file in thousands of versions is a few megabytes; what is longer is no line of ours.
const LONGEST_LINE: u64 = 64 << 20;

/// A snapshot that [`write_snapshot`](crate::write_snapshot) wrote, plain or compressed, whatever its name.
///
/// What is cut off, out of order or not of the format is refused, with the number of the line; what was visited before
/// stays visited.
#[derive(Debug, Clone)]
pub struct SnapshotCatalog {
    path: PathBuf,
}

impl SnapshotCatalog {
    /// A snapshot at this path; the file is opened when something is read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// When and from what it was made. Only the first line is read.
    ///
    /// # Errors
    /// [`CatalogError`], the same that reading it would begin with.
    pub fn header(&self) -> Result<SnapshotHeader, CatalogError> {
        Lines::open(&self.path)?.header()
    }

    /// Hands every line to `visit`, with what it tells of the copies at a destination, until it breaks off. Everything is
    /// read, whatever a copy needs.
    ///
    /// # Errors
    /// [`CatalogError`]; what was visited before it stays visited.
    pub fn read_held(&self, visit: &mut dyn FnMut(HeldEntry) -> ControlFlow<()>) -> Result<(), CatalogError> {
        let mut lines = Lines::open(&self.path)?;
        lines.header()?;
        let mut seen = LinesBefore::default();
        while let Some(found) = lines.next(&mut seen)? {
            let entry = match found {
                MiddleLine::Entry(Entry::Dataset(it)) => HeldEntry::Dataset(it, lines.held()?),
                MiddleLine::Entry(Entry::DataFile(it)) => HeldEntry::DataFile(it, lines.held()?),
                MiddleLine::Gone => HeldEntry::Gone(lines.parse::<Gone>().map_err(|why| lines.bad(why))?),
                MiddleLine::History(kind) => HeldEntry::History(kind, lines.fields().map_err(|why| lines.bad(why))?),
            };
            if visit(entry).is_break() {
                return Ok(());
            }
        }
        lines.nothing_more()
    }
}

impl Catalog for SnapshotCatalog {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self, detail: Detail, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), CatalogError> {
        let mut lines = Lines::open(&self.path)?;
        lines.header()?;
        let mut seen = LinesBefore::default();
        while let Some(found) = lines.next(&mut seen)? {
            // What is gone is in no catalogue.
            let MiddleLine::Entry(entry) = found else { continue };
            if visit(with_detail(entry, detail)).is_break() {
                return Ok(());
            }
        }
        lines.nothing_more()
    }
}

/// Leaves out what was not asked for, as the database does.
fn with_detail(entry: Entry, detail: Detail) -> Entry {
    match entry {
        Entry::DataFile(file) if detail == Detail::Essential => {
            Entry::DataFile(DataFile { versions: Vec::new(), embargo: None, retention: None, ..file })
        }
        whole => whole,
    }
}

/// A line that is neither the first nor the last.
// One at a time.
#[allow(clippy::large_enum_variant)]
enum MiddleLine {
    Entry(Entry),
    Gone,
    History(HistoryKind),
}

/// What came before a line.
#[derive(Default)]
struct LinesBefore {
    counts: SnapshotCounts,
    dataset: Option<DvObjectId>,
    file: Option<DvObjectId>,
}

impl LinesBefore {
    fn dataset(&mut self, id: DvObjectId) -> Result<(), String> {
        if self.counts.files > 0 {
            return Err(format!("dataset {id} behind the data files"));
        }
        self.counts.datasets += 1;
        ascends("dataset", self.dataset.replace(id), id)
    }

    fn file(&mut self, id: DvObjectId) -> Result<(), String> {
        self.counts.files += 1;
        ascends("data file", self.file.replace(id), id)
    }

    fn history(&mut self, kind: HistoryKind) -> MiddleLine {
        self.counts.history += 1;
        MiddleLine::History(kind)
    }

    fn end(&self, counts: SnapshotCounts) -> Result<(), String> {
        let SnapshotCounts { datasets, files, gone, history } = self.counts;
        if counts == self.counts {
            return Ok(());
        }
        let (of_gone, and_gone) = if counts.gone + gone > 0 {
            (format!(" and {} gone", counts.gone), format!(" and {gone}"))
        } else {
            Default::default()
        };
        if counts.history != history {
            return Err(format!("it counts {} lines of history, but {history} stand before it", counts.history));
        }
        Err(format!(
            "it counts {} datasets and {} files{of_gone}, but {datasets} and {files}{and_gone} stand before it",
            counts.datasets, counts.files
        ))
    }
}

fn ascends(what: &str, before: Option<DvObjectId>, id: DvObjectId) -> Result<(), String> {
    match before {
        Some(before) if before >= id => Err(format!("{what} {id} behind {what} {before}: ids ascend")),
        Some(_) | None => Ok(()),
    }
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    tag: Cow<'a, str>,
}

struct Lines<'a> {
    path: &'a Path,
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self, CatalogError> {
        let input = open(path).map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { path, input, line: Vec::new(), number: 0 })
    }

    fn header(&mut self) -> Result<SnapshotHeader, CatalogError> {
        let header = if self.advance()? { self.parse::<SnapshotHeader>().ok() } else { None };
        match header {
            Some(header) if header.format == SNAPSHOT_FORMAT && header.version > SNAPSHOT_VERSION => {
                let (found, known) = (header.version, SNAPSHOT_VERSION);
                Err(CatalogError::NewerSnapshot { path: self.path.to_owned(), found, known })
            }
            Some(header) if header.format == SNAPSHOT_FORMAT => Ok(header),
            Some(_) | None => Err(CatalogError::NotASnapshot { path: self.path.to_owned() }),
        }
    }

    /// The next entry; `None` at the last line, whose counts are right.
    fn next(&mut self, seen: &mut LinesBefore) -> Result<Option<MiddleLine>, CatalogError> {
        if !self.advance()? {
            return Err(CatalogError::CutOff { path: self.path.to_owned(), line: self.number });
        }
        self.parse_line(seen).map_err(|why| self.bad(why))
    }

    fn parse_line(&self, seen: &mut LinesBefore) -> Result<Option<MiddleLine>, String> {
        let Tag { tag } = serde_json::from_slice(&self.line).map_err(|it| it.to_string())?;
        Ok(match tag.as_ref() {
            "dataset" => {
                let dataset: Dataset = self.parse()?;
                seen.dataset(dataset.id)?;
                Some(MiddleLine::Entry(Entry::Dataset(dataset)))
            }
            "file" => {
                let file: DataFile = self.parse()?;
                seen.file(file.id)?;
                Some(MiddleLine::Entry(Entry::DataFile(file)))
            }
            "gone" => {
                seen.counts.gone += 1;
                Some(MiddleLine::Gone)
            }
            "event" => Some(seen.history(HistoryKind::Event)),
            "incident" => Some(seen.history(HistoryKind::Incident)),
            "acknowledgement" => Some(seen.history(HistoryKind::Acknowledgement)),
            "purge" => Some(seen.history(HistoryKind::Purge)),
            "hold" => Some(seen.history(HistoryKind::Hold)),
            "end" => {
                seen.end(self.parse()?)?;
                None
            }
            other => return Err(format!("unknown type {other:?}")),
        })
    }

    /// What the line that was just read tells of copies.
    fn held(&self) -> Result<Option<Held>, CatalogError> {
        #[derive(Deserialize)]
        struct StatusIfAny {
            status: Option<IgnoredAny>,
        }
        let parsed = self.parse::<StatusIfAny>().and_then(|it| it.status.map(|_| self.parse()).transpose());
        parsed.map_err(|why| self.bad(why))
    }

    fn nothing_more(&mut self) -> Result<(), CatalogError> {
        if self.advance()? { Err(self.bad("something follows the last line".into())) } else { Ok(()) }
    }

    /// Reads a line, without its end. `false` when the file has none left.
    fn advance(&mut self) -> Result<bool, CatalogError> {
        self.number += 1;
        self.line.clear();
        let mut input = (&mut self.input).take(LONGEST_LINE);
        input.read_until(b'\n', &mut self.line).map_err(|it| CatalogError::reading(self.path, self.number, it))?;
        let is_whole = self.line.last() == Some(&b'\n');
        if input.limit() == 0 && !is_whole {
            return Err(self.bad(format!("longer than {LONGEST_LINE} bytes")));
        }
        if self.line.is_empty() {
            return Ok(false);
        }
        // Every line has its end, so this one is half a line, though it may look whole.
        if is_whole { Ok(true) } else { Err(CatalogError::CutOff { path: self.path.to_owned(), line: self.number }) }
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.line).map_err(|it| it.to_string())
    }

    /// All fields but `type`.
    fn fields(&self) -> Result<serde_json::Value, String> {
        let mut fields: serde_json::Map<String, serde_json::Value> = self.parse()?;
        fields.remove("type");
        Ok(fields.into())
    }

    fn bad(&self, why: String) -> CatalogError {
        CatalogError::BadLine { path: self.path.to_owned(), line: self.number, why }
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut input = BufReader::with_capacity(1 << 16, File::open(path)?);
    // A buffer is filled by one read; four bytes of a regular file come at once.
    if input.fill_buf()?.starts_with(&ZSTD) {
        let decoder = zstd::Decoder::with_buffer(input)?;
        Ok(Box::new(BufReader::with_capacity(1 << 17, decoder)))
    } else {
        Ok(Box::new(input))
    }
}
