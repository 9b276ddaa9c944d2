//! Writing a snapshot.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use dvb_model::{DataFile, Dataset};
use serde::Serialize;
use zstd::Encoder;

use super::{SNAPSHOT_FORMAT, SNAPSHOT_VERSION, SnapshotCounts, SnapshotHeader};
use crate::{Catalog, CatalogError, Detail, Entry};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Header(&'a SnapshotHeader),
    Dataset(&'a Dataset),
    File(&'a DataFile),
    End(&'a SnapshotCounts),
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
        version: SNAPSHOT_VERSION,
        made: made.to_owned(),
        source: catalog.describe(),
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
fn compressor(out: &mut dyn Write) -> io::Result<Encoder<'static, &mut dyn Write>> {
    let mut encoder = Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn write_lines(
    catalog: &dyn Catalog,
    out: &mut dyn Write,
    header: &SnapshotHeader,
) -> Result<SnapshotCounts, CatalogError> {
    write_line(out, &Line::Header(header)).map_err(writing)?;
    let mut counts = SnapshotCounts::default();
    let mut failure = None;
    catalog.read(Detail::Full, &mut |entry| {
        let written = match &entry {
            Entry::Dataset(dataset) => {
                counts.datasets += 1;
                write_line(out, &Line::Dataset(dataset))
            }
            Entry::DataFile(file) => {
                counts.files += 1;
                write_line(out, &Line::File(file))
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
    let ended = failure.map_or(Ok(()), Err).and_then(|()| write_line(out, &Line::End(&counts)));
    ended.and_then(|()| out.flush()).map_err(writing)?;
    Ok(counts)
}

fn write_line(out: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn writing(source: io::Error) -> CatalogError {
    CatalogError::Write { source }
}
