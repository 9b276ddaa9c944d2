//! Writing a snapshot.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use dvb_model::{DataFile, Dataset};
use serde::Serialize;
use zstd::Encoder;

use super::{Gone, Held, HistoryKind, SNAPSHOT_FORMAT, SNAPSHOT_WITHOUT_HISTORY, SnapshotCounts, SnapshotHeader};
use crate::{Catalog, CatalogError, Detail, Entry};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum SnapshotLine<'a> {
    Header(&'a SnapshotHeader),
    Dataset(WithHeld<'a, Dataset>),
    File(WithHeld<'a, DataFile>),
    Gone(&'a Gone),
    End(&'a SnapshotCounts),
}

/// A row of the catalogue, and what is known of its copies, side by side in one object.
#[derive(Serialize)]
struct WithHeld<'a, T> {
    #[serde(flatten)]
    row: &'a T,
    #[serde(flatten)]
    held: Option<&'a Held>,
}

#[derive(Serialize)]
struct OfHistory<'a, T> {
    #[serde(rename = "type")]
    kind: HistoryKind,
    #[serde(flatten)]
    line: &'a T,
}

/// Writes a compressed snapshot line by line: datasets first, then files, each in the order of ids.
///
/// Without [`SnapshotWriter::finish`] it has no last line, so that nobody takes it for a whole one.
pub struct SnapshotWriter<W: Write> {
    out: BufWriter<Encoder<'static, W>>,
    counts: SnapshotCounts,
}

impl<W: Write> SnapshotWriter<W> {
    /// Writes the first line.
    ///
    /// # Errors
    /// Those of `out`, here and in each call.
    pub fn new(out: W, header: &SnapshotHeader) -> io::Result<Self> {
        let mut writer = Self { out: BufWriter::new(compressor(out)?), counts: SnapshotCounts::default() };
        write_line(&mut writer.out, &SnapshotLine::Header(header))?;
        Ok(writer)
    }

    /// A dataset, and what is known of its own objects.
    ///
    /// # Errors
    /// As [`SnapshotWriter::new`].
    pub fn dataset(&mut self, dataset: &Dataset, held: Option<&Held>) -> io::Result<()> {
        self.counts.datasets += 1;
        write_line(&mut self.out, &SnapshotLine::Dataset(WithHeld { row: dataset, held }))
    }

    /// A data file, and what is known of its copies.
    ///
    /// # Errors
    /// As [`SnapshotWriter::new`].
    pub fn file(&mut self, file: &DataFile, held: Option<&Held>) -> io::Result<()> {
        self.counts.files += 1;
        write_line(&mut self.out, &SnapshotLine::File(WithHeld { row: file, held }))
    }

    /// What is gone, in its place among the datasets or files.
    ///
    /// # Errors
    /// As [`SnapshotWriter::new`].
    pub fn gone(&mut self, gone: &Gone) -> io::Result<()> {
        self.counts.gone += 1;
        write_line(&mut self.out, &SnapshotLine::Gone(gone))
    }

    /// A line of the ledger's history, behind everything else.
    ///
    /// # Errors
    /// As [`SnapshotWriter::new`].
    pub fn history(&mut self, kind: HistoryKind, line: &impl Serialize) -> io::Result<()> {
        self.counts.history += 1;
        write_json(&mut self.out, &OfHistory { kind, line })
    }

    /// Writes the last line, and gives `out` back.
    ///
    /// # Errors
    /// As [`SnapshotWriter::new`].
    pub fn finish(mut self) -> io::Result<(W, SnapshotCounts)> {
        write_line(&mut self.out, &SnapshotLine::End(&self.counts))?;
        let encoder = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((encoder.finish()?, self.counts))
    }
}

/// Writes the whole of `catalog` as a snapshot, in memory that does not grow with it; `made` is the time in RFC 3339.
///
/// What is at `out` after an error has no last line, so that nobody takes it for a whole one.
///
/// # Errors
/// [`CatalogError::Write`], and those of the catalogue.
pub fn write_snapshot(
    catalog: &dyn Catalog,
    out: &mut dyn Write,
    made: &str,
    compress: bool,
) -> Result<SnapshotCounts, CatalogError> {
    let header = SnapshotHeader {
        format: SNAPSHOT_FORMAT.to_owned(),
        version: SNAPSHOT_WITHOUT_HISTORY,
        made: made.to_owned(),
        source: catalog.describe(),
        run: None,
        destination: None,
        installation: None,
        host: None,
        previous: None,
        rewritten: Vec::new(),
    };
    if compress {
        let mut encoder = compressor(out).map_err(writing)?;
        let counts = write_lines(catalog, &mut BufWriter::new(&mut encoder), &header)?;
        encoder.finish().and_then(Write::flush).map_err(writing)?;
        Ok(counts)
    } else {
        write_lines(catalog, &mut BufWriter::new(out), &header)
    }
}

/// With a checksum in each frame: what rots on a disk is found when it is read.
pub(super) fn compressor<W: Write>(out: W) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn write_lines(
    catalog: &dyn Catalog,
    out: &mut dyn Write,
    header: &SnapshotHeader,
) -> Result<SnapshotCounts, CatalogError> {
    write_line(out, &SnapshotLine::Header(header)).map_err(writing)?;
    let mut counts = SnapshotCounts::default();
    let mut failure = None;
    catalog.read(Detail::Full, &mut |entry| {
        let written = match &entry {
            Entry::Dataset(dataset) => {
                counts.datasets += 1;
                write_line(out, &SnapshotLine::Dataset(WithHeld { row: dataset, held: None }))
            }
            Entry::DataFile(file) => {
                counts.files += 1;
                write_line(out, &SnapshotLine::File(WithHeld { row: file, held: None }))
            }
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    let ended = failure.map_or(Ok(()), Err).and_then(|()| write_line(out, &SnapshotLine::End(&counts)));
    ended.and_then(|()| out.flush()).map_err(writing)?;
    Ok(counts)
}

fn write_line(out: &mut dyn Write, line: &SnapshotLine<'_>) -> io::Result<()> {
    write_json(out, line)
}

fn write_json(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn writing(source: io::Error) -> CatalogError {
    CatalogError::writing(source)
}
