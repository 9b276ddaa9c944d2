//! What every place keeps that files are given back to.

use std::collections::BTreeMap;
use std::io::{self, Read};

use dvb_fixity::{Algorithm, Measured};
use dvb_model::ObjectKey;

use super::{Broken, ensure, key, some_bytes};
use crate::{Cause, Expected, Mender, PutError};

/// Everything that is there, by name, as another program sees it.
pub type Seen<'a> = &'a dyn Fn() -> BTreeMap<String, Vec<u8>>;

/// The promises of [`Target`](crate::Target) and [`Mender`], at a place that holds nothing yet.
///
/// # Errors
/// The first promise that is broken.
pub fn target(target: &dyn Mender, folder: &str, seen: Seen<'_>) -> Result<(), Broken> {
    let mut place = Place { target, folder, seen, there: BTreeMap::new() };
    place.files_show_whole()?;
    place.what_is_there_stays()?;
    place.what_is_not_expected_never_shows()?;
    place.a_file_takes_the_place_of_another_which_is_kept()?;
    place.workers_share_it()
}

fn expected(bytes: &[u8]) -> Expected {
    let measured = Measured::of(bytes, &[Algorithm::Md5]);
    Expected { size: measured.size, digests: measured.digests }
}

/// Fails after its last byte.
struct Breaks<'a>(&'a [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
            other => other,
        }
    }
}

struct Place<'a> {
    target: &'a dyn Mender,
    folder: &'a str,
    seen: Seen<'a>,
    /// What must be there.
    there: BTreeMap<String, Vec<u8>>,
}

impl Place<'_> {
    fn key(&self, name: &str) -> Result<ObjectKey, Broken> {
        key(&format!("{}/{name}", self.folder))
    }

    fn holds(&self, promise: &str) -> Result<(), Broken> {
        let seen = (self.seen)();
        let differ = |(key, bytes): (&String, &Vec<u8>)| (seen.get(key) != Some(bytes)).then(|| key.clone());
        let lacking: Vec<String> = self.there.iter().filter_map(differ).collect();
        let more: Vec<&String> = seen.keys().filter(|it| !self.there.contains_key(*it)).collect();
        let holds = lacking.is_empty() && more.is_empty();
        ensure(holds, &format!("{promise} (missing or changed: {lacking:?}; too many: {more:?})"))
    }

    fn put(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Broken> {
        let at = self.key(name)?;
        let done = self.target.put_new(&at, &mut &bytes[..], &expected(&bytes));
        done.map_err(|it| format!("putting {name} failed: {}", chain(&it)))?;
        self.there.insert(at.as_str().to_owned(), bytes);
        Ok(())
    }

    fn files_show_whole(&mut self) -> Result<(), Broken> {
        for (n, size) in [0, 1, 70_000, 300_000, (9 << 20) + 17].into_iter().enumerate() {
            self.put(&format!("file {n}"), some_bytes(n as u64, size))?;
        }
        for name in ["deep/er/file", "quo'te\"", "$(touch x)", "ünï", "file.orig"] {
            self.put(name, name.as_bytes().to_vec())?;
        }
        self.holds("what was put is there with its bytes, and nothing else")
    }

    fn what_is_there_stays(&mut self) -> Result<(), Broken> {
        for name in ["file 0", "file 2", "file 4"] {
            for bytes in [some_bytes(7, 100), some_bytes(7, 9 << 20)] {
                let done = self.target.put_new(&self.key(name)?, &mut &bytes[..], &expected(&bytes));
                ensure(fails_by(&done, Cause::Exists), "putting where something is fails as Exists")?;
            }
        }
        self.holds("what is there is never touched")
    }

    fn what_is_not_expected_never_shows(&mut self) -> Result<(), Broken> {
        for size in [1000, 9 << 20] {
            let right = some_bytes(8, size);
            let mut other = right.clone();
            other[size / 2] ^= 1;
            let longer = [right.clone(), vec![0]].concat();
            for (name, bytes) in
                [("other", &other[..]), ("short", &right[..size - 1]), ("long", &longer), ("none", &[])]
            {
                let done = self.target.put_new(&self.key(name)?, &mut &*bytes, &expected(&right));
                ensure(matches!(done, Err(PutError::Mismatch(_))), "bytes that are not expected are a mismatch")?;
            }
            let without = Expected { digests: Vec::new(), ..expected(&right) };
            let done = self.target.put_new(&self.key("unproved")?, &mut &right[..], &without);
            ensure(matches!(done, Err(PutError::Mismatch(_))), "without a digest nothing is expected")?;
            let done = self.target.put_new(&self.key("broken")?, &mut Breaks(&right), &expected(&right));
            ensure(matches!(done, Err(PutError::Read(_))), "a copy that breaks off is told as such")?;
        }
        self.holds("what is not expected never shows")
    }

    fn a_file_takes_the_place_of_another_which_is_kept(&mut self) -> Result<(), Broken> {
        for (n, size) in [1000, 9 << 20].into_iter().enumerate() {
            let (name, right) = (format!("file {}", n + 2), some_bytes(9, size));
            let (at, aside) = (self.key(&name)?, self.key(&format!("{name}.aside"))?);
            let mut wrong = right.clone();
            wrong[0] ^= 1;
            let done = self.target.put_instead(&at, &mut &wrong[..], &expected(&right), &aside);
            ensure(matches!(done, Err(PutError::Mismatch(_))), "nothing is replaced by what is not expected")?;
            let done = self.target.put_instead(&at, &mut Breaks(&right), &expected(&right), &aside);
            ensure(matches!(done, Err(PutError::Read(_))), "nothing is replaced by what breaks off")?;
            self.holds("what was not replaced is as it was")?;
            let done = self.target.put_instead(&at, &mut &right[..], &expected(&right), &aside);
            let placed = done.map_err(|it| format!("replacing {name} failed: {}", chain(&it)))?;
            ensure(placed.kept.is_some_and(|it| it.contains(aside.as_str())), "where the old bytes are is told")?;
            let old = self.there.insert(at.as_str().to_owned(), right.clone()).unwrap_or_default();
            self.there.insert(aside.as_str().to_owned(), old);
            self.holds("what was replaced is kept aside")?;
            let done = self.target.put_instead(&at, &mut &right[..], &expected(&right), &aside);
            ensure(fails_by(&done, Cause::Exists), "what is kept takes no other's name")?;
            let done = self.target.put_instead(&self.key("absent")?, &mut &right[..], &expected(&right), &aside);
            ensure(fails_by(&done, Cause::Missing), "where nothing is, there is nothing to replace")?;
            self.holds("a replacement that fails changes nothing")?;
        }
        Ok(())
    }

    fn workers_share_it(&mut self) -> Result<(), Broken> {
        let names: Vec<(ObjectKey, Vec<u8>)> = (0..16)
            .map(|n| Ok((self.key(&format!("shared/{n}"))?, some_bytes(n, 20_000))))
            .collect::<Result<_, Broken>>()?;
        let target = self.target;
        let failed: Vec<String> = std::thread::scope(|scope| {
            let put = |(at, bytes): &(ObjectKey, Vec<u8>)| target.put_new(at, &mut &bytes[..], &expected(bytes));
            let workers: Vec<_> = names.chunks(4).map(|it| scope.spawn(move || it.iter().map(put).collect())).collect();
            let done = workers.into_iter().flat_map(|it| it.join().unwrap_or_else(|_| Vec::new()));
            let done: Vec<Result<_, PutError>> = done.collect();
            done.into_iter().filter_map(Result::err).map(|it| chain(&it)).collect()
        });
        ensure(failed.is_empty(), &format!("workers share it: {failed:?}"))?;
        self.there.extend(names.into_iter().map(|(at, bytes)| (at.as_str().to_owned(), bytes)));
        self.holds("what several workers put is all there")
    }
}

fn fails_by<T>(done: &Result<T, PutError>, cause: Cause) -> bool {
    matches!(done, Err(PutError::Target(error)) if error.cause == cause)
}

fn chain(error: &PutError) -> String {
    match error {
        PutError::Target(error) => error.chain(),
        PutError::Read(source) => format!("{error}: {source}"),
        PutError::Mismatch(_) => error.to_string(),
    }
}
