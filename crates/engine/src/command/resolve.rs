//! From the words of a caller to a selection: a dataset by any of its names, and what is near where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use dvb_catalog::{Catalog, Detail, Entry};
use dvb_ledger::Ledger;
use dvb_model::{DestinationName, DvObjectId, GivenName};

use crate::command::error::RunError;
use crate::command::selection::Selection;

/// How many names are suggested.
const NEAR: usize = 3;

/// Which data files somebody asks for, in his own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Datasets, or data files, by a PID in any spelling, or by an address.
    pub datasets: Vec<String>,
    /// Data files by id, by their own PID, or by an address.
    pub files: Vec<String>,
    /// By storage identifier as it stands in the database.
    pub storage_identifiers: BTreeSet<String>,
    /// By driver id of their store.
    pub stores: BTreeSet<String>,
}

/// Where names are looked up.
#[derive(Clone, Copy)]
pub enum Names<'a> {
    /// The catalogue, or a snapshot of it: it knows every name.
    Catalog(&'a dyn Catalog),
    /// What the ledger knows of a destination: the PIDs of datasets as they were at the last run, also of files that left.
    Ledger(&'a dyn Ledger, &'a DestinationName),
}

/// A selection, and what was taken for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The selection, by ids and names as the catalogue has them.
    pub selection: Selection,
    /// A sentence for each name that was not written as the catalogue has it.
    pub taken: Vec<String>,
}

/// What one name leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// A dataset by its PID.
    Dataset(String),
    /// A data file, with its dataset's PID.
    DataFile(DvObjectId, Option<String>),
}

impl Asked {
    /// Whether nothing is asked for in particular, which means everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Looks every name up, in each of `from` in turn until all are found.
    ///
    /// # Errors
    /// [`RunError::Unknown`] where a name leads nowhere, with what is near; those of catalogue and ledger.
    pub fn resolve(&self, from: &[Names<'_>], default_store: &str) -> Result<Resolved, RunError> {
        if self.is_everything() {
            return Ok(Resolved::default());
        }
        let mut search = Search::new(self)?;
        for names in from {
            if search.is_done() {
                break;
            }
            search.look(*names, default_store)?;
        }
        // The ledger has the PIDs of the last run: the catalogue says whether the datasets have others by now.
        if let (false, Some(catalog)) = (search.by_ledger.is_empty(), catalog_of(from)) {
            search.follow(catalog)?;
        }
        search.follow_back(from)?;
        if let Some((what, given)) = search.unknown() {
            let near = search.near(from, default_store, what, &given)?;
            return Err(RunError::Unknown { what: what.name(), given, near });
        }
        Ok(search.end())
    }
}

/// What kind of thing a word should name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Dataset,
    DataFile,
    Identifier,
    Store,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Dataset => "dataset or data file",
            Self::DataFile => "data file",
            Self::Identifier => "storage identifier",
            Self::Store => "data file in a store",
        }
    }
}

struct Search<'a> {
    asked: &'a Asked,
    /// By the words that were given, with what they may mean.
    names: BTreeMap<&'a str, (What, GivenName, BTreeSet<Found>)>,
    /// Other PIDs of the datasets that were found, as the ledger may have them.
    also: BTreeSet<String>,
    /// Data files of the datasets that only the ledger was asked about, by the PID that it has.
    by_ledger: BTreeMap<String, BTreeSet<DvObjectId>>,
    /// Data files of the datasets that the catalogue was asked about.
    by_catalogue: BTreeSet<DvObjectId>,
    identifiers: BTreeSet<String>,
    stores: BTreeSet<String>,
}

impl<'a> Search<'a> {
    fn new(asked: &'a Asked) -> Result<Self, RunError> {
        let mut names = BTreeMap::new();
        let words = asked
            .datasets
            .iter()
            .map(|given| (given, What::Dataset))
            .chain(asked.files.iter().map(|given| (given, What::DataFile)));
        for (given, what) in words {
            let id = given.trim().parse().ok().filter(|_| what == What::DataFile).map(DvObjectId);
            let name = match id {
                Some(id) => GivenName::DataFile(id),
                None => GivenName::parse(given).map_err(|it| RunError::NoName { text: it.to_string() })?,
            };
            names.insert(given.as_str(), (what, name, BTreeSet::new()));
        }
        Ok(Self {
            asked,
            names,
            also: BTreeSet::new(),
            by_ledger: BTreeMap::new(),
            by_catalogue: BTreeSet::new(),
            identifiers: BTreeSet::new(),
            stores: BTreeSet::new(),
        })
    }

    /// Takes each dataset that the ledger knows by another PID than the catalogue for the one of the catalogue.
    fn follow(&mut self, catalog: &dyn Catalog) -> Result<(), RunError> {
        let by_file: BTreeMap<DvObjectId, &String> =
            self.by_ledger.iter().flat_map(|(pid, files)| files.iter().map(move |id| (*id, pid))).collect();
        let mut now: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        catalog.read(Detail::Essential, &mut |entry| {
            let Entry::DataFile(file) = entry else { return ControlFlow::Continue(()) };
            if let (Some(known), Some(dataset)) = (by_file.get(&file.id), &file.dataset) {
                now.entry((*known).clone()).or_default().insert(dataset.pid.clone());
            }
            ControlFlow::Continue(())
        })?;
        for (earlier, now) in now {
            let old = Found::Dataset(earlier.clone());
            for (_, _, found) in self.names.values_mut().filter(|name| name.2.contains(&old)) {
                if !now.contains(&earlier) {
                    found.remove(&old);
                    self.also.insert(earlier.clone());
                }
                found.extend(now.iter().cloned().map(Found::Dataset));
            }
        }
        Ok(())
    }

    /// Adds the PIDs by which the ledger knows datasets that only the catalogue has by the name that is asked for.
    fn follow_back(&mut self, from: &[Names<'_>]) -> Result<(), RunError> {
        let Self { by_catalogue, also, .. } = self;
        if by_catalogue.is_empty() {
            return Ok(());
        }
        for names in from {
            if let Names::Ledger(ledger, destination) = names {
                ledger.visit_details(destination, None, false, &mut |it| {
                    also.extend(it.dataset.filter(|_| by_catalogue.contains(&it.id)));
                })?;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.unknown().is_none()
    }

    /// The first word that leads nowhere.
    fn unknown(&self) -> Option<(What, String)> {
        let name = self.names.iter().find(|it| it.1.2.is_empty()).map(|(given, it)| (it.0, (*given).to_owned()));
        let lacking = |asked: &BTreeSet<String>, found: &BTreeSet<String>| asked.difference(found).next().cloned();
        name.or_else(|| Some((What::Identifier, lacking(&self.asked.storage_identifiers, &self.identifiers)?)))
            .or_else(|| Some((What::Store, lacking(&self.asked.stores, &self.stores)?)))
    }

    fn look(&mut self, names: Names<'_>, default_store: &str) -> Result<(), RunError> {
        match names {
            Names::Catalog(catalog) => Ok(catalog.read(Detail::Essential, &mut |entry| {
                match entry {
                    Entry::Dataset(it) => drop(self.dataset(it.id, &it.pid, &it.alternative_pids)),
                    Entry::DataFile(it) => {
                        let dataset = it.dataset.as_ref().map(|it| it.pid.as_str());
                        self.data_file(it.id, it.pid.as_deref(), dataset);
                        if dataset.is_some_and(|pid| self.is_found(pid) && !self.by_ledger.contains_key(pid)) {
                            self.by_catalogue.insert(it.id);
                        }
                        self.place(it.storage_identifier.as_deref().unwrap_or(""), default_store);
                    }
                }
                ControlFlow::Continue(())
            })?),
            Names::Ledger(ledger, destination) => {
                Ok(ledger.visit_details(destination, None, false, &mut |detail| {
                    if let Some(pid) = &detail.dataset
                        && self.dataset(DvObjectId(i64::MIN), pid, &[])
                    {
                        self.by_ledger.entry(pid.clone()).or_default().insert(detail.id);
                    }
                    self.data_file(detail.id, None, detail.dataset.as_deref());
                    self.place(detail.storage_identifier.as_deref().unwrap_or(""), default_store);
                })?)
            }
        }
    }

    /// Whether it is one of those that are asked for.
    fn dataset(&mut self, id: DvObjectId, pid: &str, alternatives: &[String]) -> bool {
        let mut is_asked_for = false;
        for (what, name, found) in self.names.values_mut().filter(|it| it.0 == What::Dataset) {
            let is_it = match name {
                GivenName::Pid(name) => name.is(pid) || alternatives.iter().any(|it| name.is(it)),
                GivenName::Dataset(given) => *given == id,
                GivenName::DataFile(_) => false,
            };
            if is_it && *what == What::Dataset {
                found.insert(Found::Dataset(pid.to_owned()));
                self.also.extend(alternatives.iter().cloned());
                is_asked_for = true;
            }
        }
        is_asked_for
    }

    fn is_found(&self, pid: &str) -> bool {
        let is_it = |found: &Found| matches!(found, Found::Dataset(known) if known == pid);
        self.names.values().any(|name| name.2.iter().any(is_it))
    }

    fn data_file(&mut self, id: DvObjectId, pid: Option<&str>, dataset: Option<&str>) {
        for (_, name, found) in self.names.values_mut() {
            let is_it = match name {
                GivenName::Pid(name) => pid.is_some_and(|it| name.is(it)),
                GivenName::DataFile(given) => *given == id,
                GivenName::Dataset(_) => false,
            };
            if is_it {
                found.retain(|it| !matches!(it, Found::DataFile(known, _) if *known == id));
                found.insert(Found::DataFile(id, dataset.map(str::to_owned)));
            }
        }
    }

    fn place(&mut self, identifier: &str, default_store: &str) {
        if self.asked.storage_identifiers.contains(identifier) {
            self.identifiers.insert(identifier.to_owned());
        }
        let store = identifier.split_once("://").map_or(default_store, |it| it.0);
        if self.asked.stores.contains(store) {
            self.stores.insert(store.to_owned());
        }
    }

    fn end(self) -> Resolved {
        let mut selection = Selection {
            storage_identifiers: self.asked.storage_identifiers.clone(),
            stores: self.asked.stores.clone(),
            earlier_pids: self.also,
            ..Selection::default()
        };
        let mut taken = Vec::new();
        for (given, (what, name, found)) in self.names {
            // Written as the catalogue has it, it means nothing else.
            let exact = found.iter().find(|it| matches!(it, Found::Dataset(pid) if pid == given)).cloned();
            for it in exact.map_or(found, |it| BTreeSet::from([it])) {
                match &it {
                    Found::Dataset(pid) if pid == given => {}
                    Found::Dataset(pid) => taken.push(format!("{given:?} is taken for dataset {pid}")),
                    Found::DataFile(_, _) if what == What::DataFile && given.trim().parse::<i64>().is_ok() => {}
                    Found::DataFile(id, dataset) => {
                        let of = dataset.as_ref().map(|it| format!(" of dataset {it}")).unwrap_or_default();
                        taken.push(format!("{given:?} is taken for data file {id}{of}"));
                    }
                }
                match (it, what, &name) {
                    (Found::Dataset(pid), ..) => {
                        selection.datasets.insert(pid);
                    }
                    (Found::DataFile(id, _), What::Dataset, _) => {
                        selection.named_files.insert(id);
                    }
                    (Found::DataFile(id, _), ..) => {
                        selection.files.insert(id);
                    }
                }
            }
        }
        Resolved { selection, taken }
    }

    /// What there is instead, the nearest first.
    fn near(&self, from: &[Names<'_>], default_store: &str, what: What, given: &str) -> Result<Vec<String>, RunError> {
        let wanted = match GivenName::parse(given) {
            Ok(GivenName::Pid(it)) if what != What::Identifier => it.rest(),
            _ => given.to_lowercase(),
        };
        let mut best = Nearest { wanted, what, found: BTreeSet::new() };
        for names in from {
            match names {
                Names::Catalog(catalog) => catalog.read(Detail::Essential, &mut |entry| {
                    match entry {
                        Entry::Dataset(it) => {
                            best.dataset(&it.pid);
                            it.alternative_pids.iter().for_each(|pid| best.dataset(pid));
                        }
                        Entry::DataFile(it) => {
                            best.data_file(it.id, it.storage_identifier.as_deref(), default_store);
                        }
                    }
                    ControlFlow::Continue(())
                })?,
                // The PIDs of the last run, also of what has left Dataverse.
                Names::Ledger(ledger, destination) => {
                    ledger.visit_details(destination, None, false, &mut |detail| {
                        best.dataset(detail.dataset.as_deref().unwrap_or(""));
                        best.data_file(detail.id, detail.storage_identifier.as_deref(), default_store);
                    })?;
                }
            }
        }
        Ok(best.found.into_iter().map(|it| it.1).collect())
    }
}

fn catalog_of<'a>(from: &[Names<'a>]) -> Option<&'a dyn Catalog> {
    from.iter().find_map(|names| match names {
        Names::Catalog(catalog) => Some(*catalog),
        Names::Ledger(..) => None,
    })
}

/// The nearest names of one kind.
struct Nearest {
    wanted: String,
    what: What,
    found: BTreeSet<(usize, String)>,
}

impl Nearest {
    fn dataset(&mut self, pid: &str) {
        if self.what == What::Dataset && !pid.is_empty() {
            let rest = pid.split_once(':').map_or(pid, |it| it.1).to_lowercase();
            self.enter(&rest, pid.to_owned(), 1 + self.wanted.len() / 8);
        }
    }

    fn data_file(&mut self, id: DvObjectId, identifier: Option<&str>, default_store: &str) {
        let identifier = identifier.unwrap_or("");
        match self.what {
            What::DataFile => self.enter(&id.0.to_string(), id.0.to_string(), 1),
            What::Identifier if identifier.to_lowercase().contains(&self.wanted) => {
                self.found.insert((0, identifier.to_owned()));
            }
            What::Identifier => {
                self.enter(&identifier.to_lowercase(), identifier.to_owned(), 1 + self.wanted.len() / 8)
            }
            // There are few: all of them are named.
            What::Store => {
                let store = identifier.split_once("://").map_or(default_store, |it| it.0);
                self.found.insert((0, store.to_owned()));
            }
            What::Dataset => {}
        }
        while self.found.len() > NEAR && self.what != What::Store {
            self.found.pop_last();
        }
    }

    fn enter(&mut self, text: &str, name: String, most: usize) {
        if let Some(distance) = distance(&self.wanted, text, most) {
            self.found.insert((distance, name));
            if self.found.len() > NEAR {
                self.found.pop_last();
            }
        }
    }
}

/// How many characters are to be changed, up to `most` (Levenshtein).
fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, of_a) in a.iter().enumerate() {
        let mut before = row[0];
        row[0] = n + 1;
        for (m, of_b) in b.iter().enumerate() {
            let changed = before + usize::from(of_a != of_b);
            before = row[m + 1];
            row[m + 1] = changed.min(before + 1).min(row[m] + 1);
        }
    }
    row.last().copied().filter(|it| *it <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_little_is_near() {
        for (a, b, expected) in [
            ("fk2/abc", "fk2/abc", Some(0)),
            ("fk2/abc", "fk2/abd", Some(1)),
            ("abc", "xyz", None),
            ("ab", "abcde", None),
        ] {
            assert_eq!(distance(a, b, 2), expected, "{a} {b}");
        }
    }
}
