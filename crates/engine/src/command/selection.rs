//! Which data files a command is about.

use std::collections::BTreeSet;

use dvb_ledger::{EntryKind, LedgerCopy, StateDetail};
use dvb_model::{DataFile, DvObjectId};

/// Which data files are meant. Several of one kind widen it, several kinds narrow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// By PID of the dataset, as the catalogue has it ([`Asked`](crate::command::resolve::Asked) finds it by any other name).
    pub datasets: BTreeSet<String>,
    /// Other PIDs of these datasets, under which the ledger may know them. They select nothing by themselves.
    pub earlier_pids: BTreeSet<String>,
    /// Data files that were named where datasets are: they widen `datasets`.
    pub named_files: BTreeSet<DvObjectId>,
    /// By id: `dvobject.id` of Dataverse's database.
    pub files: BTreeSet<DvObjectId>,
    /// By storage identifier as it stands in the database.
    pub storage_identifiers: BTreeSet<String>,
    /// By driver id; an identifier without a prefix belongs to the default store.
    pub stores: BTreeSet<String>,
}

impl Selection {
    /// Whether nothing is selected in particular, which means everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn has(&self, file: &DataFile, default_store: &str) -> bool {
        let identifier = file.storage_identifier.as_deref().unwrap_or("");
        let pid = file.dataset.as_ref().map_or("", |it| it.pid.as_str());
        self.has_parts(pid, file.id, identifier, default_store)
    }

    fn has_parts(&self, pid: &str, id: DvObjectId, identifier: &str, default_store: &str) -> bool {
        let store = identifier.split_once("://").map_or(default_store, |(driver, _)| driver);
        self.has_place(pid, id)
            && (self.files.is_empty() || self.files.contains(&id))
            && (self.storage_identifiers.is_empty() || self.storage_identifiers.contains(identifier))
            && (self.stores.is_empty() || self.stores.contains(store))
    }

    fn has_place(&self, pid: &str, id: DvObjectId) -> bool {
        (self.datasets.is_empty() && self.named_files.is_empty()) || self.has_pid(pid) || self.named_files.contains(&id)
    }

    fn has_pid(&self, pid: &str) -> bool {
        self.datasets.contains(pid) || self.earlier_pids.contains(pid)
    }

    /// Whether a copy that the ledger knows belongs to what is meant.
    pub(crate) fn has_copy(&self, held: &LedgerCopy, default_store: &str) -> bool {
        let pid = held.dataset.as_deref().unwrap_or("");
        if held.kind == EntryKind::Dataset {
            return self.has_dataset(pid);
        }
        let identifier = held.storage_identifier.as_deref().unwrap_or("");
        self.has_parts(pid, held.copy.id, identifier, default_store)
    }

    /// Whether a data file that the ledger knows is meant.
    #[must_use]
    pub fn has_detail(&self, detail: &StateDetail, default_store: &str) -> bool {
        let part = |it: &Option<String>| it.clone().unwrap_or_default();
        self.has_parts(&part(&detail.dataset), detail.id, &part(&detail.storage_identifier), default_store)
    }

    /// Whether it may mean the file's dataset: other files of a dataset say which versions it has.
    pub(crate) fn has_dataset_of(&self, file: &DataFile) -> bool {
        let pid = file.dataset.as_ref().map_or("", |it| it.pid.as_str());
        self.datasets.is_empty() || self.has_pid(pid)
    }

    /// Whether the own objects of a dataset are meant, its logo among them.
    #[must_use]
    pub fn has_dataset(&self, pid: &str) -> bool {
        self.is_everything()
            || (self.has_pid(pid)
                && self.files.is_empty()
                && self.storage_identifiers.is_empty()
                && self.stores.is_empty())
    }
}

/// Names of one kind that are said one by one in the event log.
const SAID: usize = 20;

impl Selection {
    /// For the event log: `everything`, or what it names.
    #[must_use]
    pub fn in_words(&self) -> String {
        let list = |what: &str, names: Vec<String>| {
            let rest = names.len().saturating_sub(SAID);
            let said = names.into_iter().take(SAID).collect::<Vec<_>>().join(", ");
            match (said.is_empty(), rest) {
                (true, _) => None,
                (false, 0) => Some(format!("{what} {said}")),
                (false, rest) => Some(format!("{what} {said} and {rest} more")),
            }
        };
        let ids = |ids: &BTreeSet<DvObjectId>| ids.iter().map(ToString::to_string).collect();
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect();
        let all = [
            list("dataset", names(&self.datasets)),
            list("file", ids(&self.named_files)),
            list("file", ids(&self.files)),
            list("storage identifier", names(&self.storage_identifiers)),
            list("store", names(&self.stores)),
        ];
        let said = all.into_iter().flatten().collect::<Vec<_>>().join("; ");
        if said.is_empty() { "everything".to_owned() } else { said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_said_in_words() {
        assert_eq!(Selection::default().in_words(), "everything");
        let named = Selection {
            datasets: ["doi:10.5072/FK2/A".to_owned()].into(),
            files: (1..=22).map(DvObjectId).collect(),
            ..Selection::default()
        };
        let words = named.in_words();
        assert!(words.starts_with("dataset doi:10.5072/FK2/A; file 1, 2, 3"), "{words}");
        assert!(words.ends_with("20 and 2 more"), "{words}");
    }
}
