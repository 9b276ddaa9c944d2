//! A list that is put in another order than it comes in, on disk: memory must not grow with the number of files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are sorted in memory at once.
const CHUNK: usize = 16 << 20;

/// Entries by their keys: pushed in any order, then read in the order of the keys' bytes, as often as need be.
pub(crate) struct Sorted {
    folder: PathBuf,
    chunk: Vec<Encoded>,
    bytes: usize,
    limit: usize,
    /// Each in order. The files have no names: they go with the process.
    runs: Vec<File>,
}

impl Sorted {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), chunk: Vec::new(), bytes: 0, limit: CHUNK, runs: Vec::new() }
    }

    pub(crate) fn push<T: Serialize>(&mut self, key: String, value: &T) -> io::Result<()> {
        let value = serde_json::to_vec(value)?;
        self.bytes += key.len() + value.len() + size_of::<Encoded>();
        self.chunk.push((key, value));
        if self.bytes < self.limit { Ok(()) } else { self.write_run() }
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.chunk.sort();
        let file = tempfile::tempfile_in(&self.folder)?;
        let mut writer = BufWriter::new(zstd::Encoder::new(BufWriter::new(file.try_clone()?), 1)?);
        for (key, value) in self.chunk.drain(..) {
            for part in [key.as_bytes(), &value] {
                let length = u32::try_from(part.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
                writer.write_all(&length.to_le_bytes())?;
                writer.write_all(part)?;
            }
        }
        let encoder = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.bytes = 0;
        self.runs.push(file);
        Ok(())
    }

    /// Everything that was pushed, in order. Entries with the same key come one after another.
    pub(crate) fn read<T: DeserializeOwned>(
        &mut self,
    ) -> io::Result<impl Iterator<Item = io::Result<(String, T)>> + use<'_, T>> {
        if !self.chunk.is_empty() {
            self.write_run()?;
        }
        let mut merge = Merge { runs: Vec::new(), heads: BinaryHeap::new() };
        for mut file in &self.runs {
            file.rewind()?;
            merge.runs.push(Run(BufReader::new(zstd::Decoder::new(file)?)));
            merge.advance(merge.runs.len() - 1)?;
        }
        Ok(std::iter::from_fn(move || merge.next().transpose()).map(|entry| {
            let (key, value) = entry?;
            Ok((key, serde_json::from_slice(&value)?))
        }))
    }
}

type Encoded = (String, Vec<u8>);

/// One file in order.
struct Run<'a>(BufReader<zstd::Decoder<'static, BufReader<&'a File>>>);

impl Run<'_> {
    fn part(&mut self) -> io::Result<Option<Vec<u8>>> {
        // The end is where nothing follows: a file that was cut off says so by an error, which is none.
        if self.0.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut part = vec![0; u32::from_le_bytes(length) as usize];
        self.0.read_exact(&mut part)?;
        Ok(Some(part))
    }

    fn next(&mut self) -> io::Result<Option<Encoded>> {
        let Some(key) = self.part()? else { return Ok(None) };
        let key = String::from_utf8(key).map_err(|it| io::Error::new(io::ErrorKind::InvalidData, it))?;
        let value = self.part()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Some((key, value)))
    }
}

/// Several files in order, as one.
struct Merge<'a> {
    runs: Vec<Run<'a>>,
    /// The first entry that was not given yet of each, with the number of its file.
    heads: BinaryHeap<Reverse<(Encoded, usize)>>,
}

impl Merge<'_> {
    fn advance(&mut self, run: usize) -> io::Result<()> {
        if let Some(entry) = self.runs[run].next()? {
            self.heads.push(Reverse((entry, run)));
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Encoded>> {
        let Some(Reverse((entry, run))) = self.heads.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some(entry))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_that_was_cut_off_has_no_end() {
        let mut sorted = Sorted { limit: 1, ..Sorted::new(&std::env::temp_dir()) };
        sorted.push("a".to_owned(), &1).unwrap();
        assert_eq!(sorted.read::<i32>().unwrap().count(), 1);
        let whole = sorted.runs[0].metadata().unwrap().len();
        for cut in 1..whole {
            sorted.runs[0].set_len(cut).unwrap();
            let is_told = match sorted.read() {
                Ok(mut entries) => entries.any(|it: io::Result<(String, i32)>| it.is_err()),
                Err(_) => true,
            };
            assert!(is_told, "{cut} of {whole} bytes");
        }
    }

    proptest! {
        #[test]
        fn it_is_sorted_and_whole_and_can_be_read_twice(
            keys in proptest::collection::vec("[a-cä\u{0}/]{0,3}", 0..200), limit in 1_usize..4000,
        ) {
            let mut sorted = Sorted { limit, ..Sorted::new(&std::env::temp_dir()) };
            for (n, key) in keys.iter().enumerate() {
                sorted.push(key.clone(), &n).unwrap();
            }
            let mut expected: Vec<String> = keys.clone();
            expected.sort();
            for _ in 0..2 {
                let read: Vec<(String, usize)> = sorted.read().unwrap().map(Result::unwrap).collect();
                prop_assert!(read.iter().all(|(key, n)| *key == keys[*n]));
                let order: Vec<String> = read.into_iter().map(|it| it.0).collect();
                prop_assert_eq!(&order, &expected);
            }
        }
    }
}
