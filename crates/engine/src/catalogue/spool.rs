//! The catalogue of a run, and the list of what is due, on disk: memory must not grow with the number of files, and the
//! catalogue's transaction must not wait for the copying.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::marker::PhantomData;
use std::path::Path;

use dvb_fixity::{Algorithm, Digest, Hasher};
use dvb_ledger::Basis;
use dvb_model::{DataFile, Dataset, DvObjectId, ObjectKey, Status};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One data file or dataset to be looked at, for some of the destinations of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) subject: Subject,
    pub(crate) fingerprint: String,
    /// What is to be done for each destination, in the order of the run's.
    pub(crate) dests: Vec<Option<DestinationDue>>,
}

/// What is to be done about a subject for one destination.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct DestinationDue {
    /// The ledger has a state of it.
    pub(crate) known: bool,
    /// Only its copies at the destination are to be looked at; the source has not changed.
    pub(crate) recheck: bool,
    /// The verdict that the ledger has, unless it is of something that was gone.
    pub(crate) was: Option<Status>,
    /// It was `OK` by this before the ledger was lost, and is again when all its copies are proved.
    pub(crate) claimed: Option<Basis>,
}

/// One data file or dataset to be looked at, for one destination.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) subject: Subject,
    pub(crate) fingerprint: String,
    pub(crate) known: bool,
    pub(crate) recheck: bool,
    pub(crate) was: Option<Status>,
    pub(crate) claimed: Option<Basis>,
    /// The key of its main object, where it is reserved already.
    pub(crate) main_key: Option<ObjectKey>,
}

// One at a time is in memory while it is written; see `Entry`.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Subject {
    DataFile(DataFile),
    Dataset(Dataset),
}

impl Line {
    /// For the destination with this number.
    pub(crate) fn due(&self, dest: usize) -> Option<Due> {
        let DestinationDue { known, recheck, was, claimed } = (*self.dests.get(dest)?)?;
        Some(Due {
            subject: self.subject.clone(),
            fingerprint: self.fingerprint.clone(),
            known,
            recheck,
            was,
            claimed,
            main_key: None,
        })
    }
}

impl Due {
    pub(crate) fn is_data_file(&self) -> bool {
        self.subject.is_data_file()
    }

    pub(crate) fn id(&self) -> DvObjectId {
        self.subject.id()
    }
}

impl Subject {
    pub(crate) fn id(&self) -> DvObjectId {
        match self {
            Self::DataFile(it) => it.id,
            Self::Dataset(it) => it.id,
        }
    }

    pub(crate) fn is_data_file(&self) -> bool {
        matches!(self, Self::DataFile(_))
    }

    /// Bytes to be read, as far as Dataverse knows.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::DataFile(file) => Self::bytes_of(file),
            Self::Dataset(_) => 0,
        }
    }

    pub(crate) fn bytes_of(file: &DataFile) -> u64 {
        let original = file.tabular.as_ref().and_then(|it| it.original_size).unwrap_or(0);
        file.size.unwrap_or(0) + original
    }
}

/// A list on disk: written first, then read from the start, twice if need be. The file has no name: it goes with the process.
pub(crate) struct Spool<T> {
    writer: Option<zstd::Encoder<'static, BufWriter<File>>>,
    /// One line: it comes as many small pieces.
    line: Vec<u8>,
    file: File,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let writer = zstd::Encoder::new(BufWriter::new(file.try_clone()?), 1)?;
        Ok(Self { writer: Some(writer), line: Vec::new(), file, of: PhantomData })
    }

    pub(crate) fn push(&mut self, line: &T) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Err(io::ErrorKind::InvalidInput.into()) };
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        writer.write_all(&self.line)
    }

    /// Everything that was pushed, from the start. Nothing can be pushed afterwards.
    pub(crate) fn read(&mut self) -> io::Result<impl Iterator<Item = io::Result<T>> + use<T>> {
        let lines = BufReader::new(zstd::Decoder::new(self.rewound()?)?).lines();
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }

    /// The same for the same lines in the same order. Nothing can be pushed afterwards.
    pub(crate) fn digest(&mut self) -> io::Result<String> {
        let mut file = self.rewound()?;
        let mut hasher = Hasher::new(&[]);
        let mut buffer = vec![0; 1 << 17];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish().digest(Algorithm::Sha256).map(Digest::hex).unwrap_or_default()),
                n => hasher.update(&buffer[..n]),
            }
        }
    }

    /// The compressed bytes of all lines.
    fn rewound(&mut self) -> io::Result<File> {
        if let Some(encoder) = self.writer.take() {
            encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        }
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}
