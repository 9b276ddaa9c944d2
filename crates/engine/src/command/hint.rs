//! What can be done about an error, without the words of any one program.

use dvb_catalog::CatalogHint;
use dvb_ledger::LedgerHint;

/// A way on that the caller offers in words of its own: the command line names a command, another program a button. The
/// error that it belongs to has said what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// What can be done about an error of the catalogue: its server, login, TLS or file.
    Catalog(CatalogHint),
    /// What can be done about an error of the ledger: its server, login, file, tables or encoding.
    Ledger(LedgerHint),
    /// If the data files were meant to go: run with `Overrides::disappearance`.
    AcceptDisappearance,
    /// If they were meant to change: run with `Overrides::changes`.
    AcceptChanges {
        /// Name of the destination.
        destination: String,
    },
    /// If all copies are really lost: run with `Overrides::copies_lost`.
    CopiesLost {
        /// Name of the destination.
        destination: String,
    },
    /// If it is this installation's: run with `Overrides::take_over`.
    TakeOver {
        /// Name of the destination.
        destination: String,
    },
    /// It has another installation's id: rebuild, if the ledger was lost; take it over, if the other one is no more.
    ClaimForeign {
        /// Name of the destination.
        destination: String,
    },
    /// It has the copies of a ledger that is not known: rebuild, if it was lost; take over, if they are to be compared.
    ClaimStrange {
        /// Name of the destination.
        destination: String,
    },
    /// A run leaves the id there again; with `Overrides::copies_lost` it makes all copies again.
    MarkAgain {
        /// Name of the destination.
        destination: String,
    },
    /// If its copies are wanted all the same: `RebuildSetup::accept_other`.
    AcceptOtherDataverse,
    /// Name the snapshot that is meant; or `RebuildSetup::accept_other` for the newest.
    NameSnapshot,
    /// Use another ledger, or move this one away.
    AnotherLedger,
    /// What has copies is known to the ledger.
    SeeStatus,
    /// Names are known to the ledger, and to the pages of Dataverse.
    SeeNames,
    /// Nothing was copied yet: run first.
    RunFirst,
    /// Another version can be named; the layout of Dataverse itself leaves none out.
    OtherVersion,
    /// What left Dataverse keeps its copies; a snapshot of before can be given back.
    SeeGone,
    /// If it is to go all the same, and never to be copied again: request it with `RequestOptions::even_if_in_dataverse`.
    EvenIfInDataverse,
    /// If so many are meant: request it with a higher `RequestOptions::cap`.
    RaiseCap,
    /// Make another request, and have it approved.
    RequestAgain,
    /// The purges and holds that there are.
    SeePurges,
    /// Whoever may can release the hold.
    ReleaseHold,
    /// Versions that have files; none: the layout of Dataverse itself needs no version.
    Versions(Vec<String>),
}
