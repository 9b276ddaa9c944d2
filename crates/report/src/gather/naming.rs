//! What a public report leaves out. Whatever may name a file, a host, a store or a person passes here.

use dvb_model::{DestinationName, ObjectRole};

use crate::facts::{Facts, StoreFacts};

/// How things are called in this report.
pub(super) struct Naming {
    public: bool,
    destinations: Vec<DestinationName>,
}

impl Naming {
    pub(super) fn of(facts: &Facts) -> Self {
        let destinations = facts.destinations.iter().map(|it| it.name.clone()).collect();
        Self { public: facts.public, destinations }
    }

    /// Text that may name something; `None` where that is left out.
    pub(super) fn kept(&self, text: String) -> Option<String> {
        (!self.public).then_some(text)
    }

    /// A destination by its name, or by its number in the configuration.
    pub(super) fn destination(&self, name: &DestinationName) -> String {
        if !self.public {
            return name.0.clone();
        }
        match self.destinations.iter().position(|it| it == name) {
            Some(index) => format!("destination {}", index + 1),
            None => "a destination that is not configured any more".to_owned(),
        }
    }

    pub(super) fn store(&self, store: &StoreFacts) -> String {
        if self.public { store.kind.clone() } else { format!("{} ({})", store.id, store.kind) }
    }

    /// An object's role without the names in it: that of a package's member, or of an auxiliary file.
    pub(super) fn object(&self, role: &ObjectRole) -> String {
        let role = role.to_string();
        match role.split_once(':') {
            Some((kind, _)) if self.public => kind.to_owned(),
            _ => role,
        }
    }

    /// `everything`, or what was selected.
    pub(super) fn scope(&self, scope: String) -> Option<String> {
        if scope == super::log::EVERYTHING { Some(scope) } else { self.kept(scope) }
    }
}
