//! What can be done about an error, in the words of the command line: the one place that knows its commands and options.

use dvb_catalog::CatalogHint;
use dvb_engine::Hint;
use dvb_ledger::LedgerHint;

/// How many versions a message names.
const NAMED: usize = 5;

/// The text of an error, and what can be done about it.
pub(crate) fn with(mut text: String, hint: Option<&Hint>) -> String {
    text.extend(hint.map(words));
    text
}

fn of_catalog(hint: CatalogHint) -> &'static str {
    match hint {
        CatalogHint::Address => "; check [Database] Host, Port, SslMode and that it runs",
        CatalogHint::Login => "; check [Database] Database, Username, Password and the server's pg_hba.conf",
        CatalogHint::Tls => "; check [Database] SslMode and SslRootCert",
        CatalogHint::Path => "; check [Database] Catalogue and the file's permissions",
        CatalogHint::Export => "; create one with `dataverse-backup catalogue export`",
    }
}

fn of_ledger(hint: LedgerHint) -> &'static str {
    match hint {
        LedgerHint::Address => "; check [Database] BackupDatabase and that it runs",
        LedgerHint::Login => {
            "; check [Database] BackupDatabase, BackupUsername, BackupPassword (where one is absent, Username and Password \
             count) and the server's pg_hba.conf"
        }
        LedgerHint::Tls => "; check [Database] BackupSslMode and BackupSslRootCert",
        LedgerHint::Path => "; check [Database] BackupDatabase, its folder and their permissions",
        LedgerHint::Pooler => ". PostgreSQL itself is named by [Database] BackupHost and BackupPort",
        LedgerHint::Encoding => ". Then set [Database] BackupDatabase to the new one: dataverse-backup init",
        LedgerHint::Migrate => ": run `dataverse-backup init`",
        LedgerHint::Rebuild => {
            ". Move it away, with its -wal and -shm, and make it again: `dataverse-backup rebuild` (docs/operation.md, The \
             ledger is lost)"
        }
    }
}

/// Goes on where the text of the error ends.
fn words(hint: &Hint) -> String {
    match hint {
        Hint::Catalog(hint) => of_catalog(*hint).to_owned(),
        Hint::Ledger(hint) => of_ledger(*hint).to_owned(),
        Hint::OtherVersion => {
            ": --version names another one, and without --names they come in Dataverse's own layout".to_owned()
        }
        Hint::AcceptDisappearance => ". If it is the right database and they were meant to go, confirm with: run \
                                      --accept-disappearance"
            .to_owned(),
        Hint::AcceptChanges { destination } => {
            format!(". If they were meant to change: run --accept-changes --destination {destination}")
        }
        Hint::CopiesLost { destination } => format!(
            ". If it is the right place and all copies are really lost, this makes them again: run --copies-lost \
             --destination {destination}"
        ),
        Hint::TakeOver { destination } => {
            format!(". If it is this installation's: run --take-over --destination {destination}")
        }
        Hint::ClaimForeign { destination } => format!(
            ". If it is this very Dataverse and its ledger was lost: rebuild --destination {destination}. If it is to be \
             this installation's from now on, and the other one stores there no more: run --take-over --destination \
             {destination}"
        ),
        Hint::ClaimStrange { destination } => format!(
            ". If it was lost: rebuild --destination {destination}. If the copies there are of this very Dataverse and are \
             to be compared one by one: run --take-over --destination {destination}. Else give this installation a folder, \
             container or prefix of its own"
        ),
        Hint::MarkAgain { destination } => format!(
            ". If it is the right place, `run` leaves the id there again; if all copies there are lost: run --copies-lost \
             --destination {destination}"
        ),
        Hint::AcceptOtherDataverse => {
            ". If it is the right destination, and its copies are wanted: --accept-other-dataverse".to_owned()
        }
        Hint::NameSnapshot => {
            ". Name the one that is meant: rebuild --snapshot NAME, --from-snapshot=NAME; or, for the newest, \
                               whosever it is: --accept-other-dataverse"
                .to_owned()
        }
        Hint::AnotherLedger => {
            ". To make it again, name another one in [Database] BackupDatabase, or move it away first".to_owned()
        }
        Hint::SeeStatus => ", and see dataverse-backup status".to_owned(),
        Hint::SeeNames => "; see dataverse-backup status, or the address of the page in Dataverse".to_owned(),
        Hint::EvenIfInDataverse => {
            ". If the copies are to go all the same, and never to be made again: --even-if-in-dataverse".to_owned()
        }
        Hint::RaiseCap => ". If so many are meant: --cap NUMBER".to_owned(),
        Hint::RequestAgain => {
            ". Make another request, and have its list approved: dataverse-backup purge request".to_owned()
        }
        Hint::SeePurges => "; see dataverse-backup purge list".to_owned(),
        Hint::ReleaseHold => ". Whoever may can release it: dataverse-backup purge release".to_owned(),
        Hint::RunFirst => ": dataverse-backup run makes the copies".to_owned(),
        Hint::SeeGone => {
            ": dataverse-backup status --gone lists them with their keys, and restore --from-snapshot=NAME \
                          gives back what was there when that snapshot was made"
                .to_owned()
        }
        Hint::Versions(versions) if versions.is_empty() => {
            ". No version has any; without --names they come in Dataverse's own layout".to_owned()
        }
        Hint::Versions(versions) => {
            let options: Vec<_> = versions.iter().take(NAMED).map(|it| format!("--version {it}")).collect();
            format!(". Available with {}", options.join(" or "))
        }
    }
}

#[cfg(test)]
mod tests {
    use dvb_engine::{RestoreError, RunError};

    use crate::exit::CommandFailure;

    #[test]
    fn what_can_be_done_follows_what_is_wrong() {
        let destination = || "far".to_owned();
        for (failure, text) in [
            (
                CommandFailure::from(RunError::Disappearance {
                    destination: destination(),
                    missing: 8,
                    known: 10,
                    limit: 5.0,
                }),
                "8 of the 10 data files known at destination \"far\" are no longer in the catalogue, more than the 5 % that may \
                 disappear between two runs. Nothing was done, and all copies are kept. If it is the right database and they \
                 were meant to go, confirm with: run --accept-disappearance",
            ),
            (
                RunError::NotThere { destination: destination(), why: "/copies does not exist".to_owned() }.into(),
                "/copies does not exist. Copies were there before, so it is not made anew. Nothing was stored or recorded. If it \
                 is the right place and all copies are really lost, this makes them again: run --copies-lost --destination far",
            ),
            (
                RunError::NoCopies { destination: destination() }.into(),
                "destination far has no proved copy of this selection; check the PID, id, storage identifier or store, and see \
                 dataverse-backup status",
            ),
            (
                RunError::NothingToVerify { destination: destination() }.into(),
                "destination far has no proved copy yet, so there is nothing to verify, and nothing is safe there: \
                 dataverse-backup run makes the copies",
            ),
            (
                RunError::NotMarked { destination: destination(), since: "2026-01-02".to_owned() }.into(),
                "destination far does not carry this installation's id, which was left there on 2026-01-02: it is another \
                 folder, container or prefix, or its disk is not mounted. Nothing was recorded or stored. If it is the right \
                 place, `run` leaves the id there again; if all copies there are lost: run --copies-lost --destination far",
            ),
            (
                RunError::Strange { destination: destination(), snapshot: "x".to_owned() }.into(),
                "destination far has the snapshot x of a run that this ledger knows nothing of: it is another installation's, or \
                 the ledger was lost. Nothing was stored there. If it was lost: rebuild --destination far. If the copies there \
                 are of this very Dataverse and are to be compared one by one: run --take-over --destination far. Else give this \
                 installation a folder, container or prefix of its own",
            ),
            (
                RunError::NotBlank { destination: destination() }.into(),
                "the ledger knows destination far already, and what it knows is not overwritten. To make it again, name another \
                 one in [Database] BackupDatabase, or move it away first",
            ),
            (
                RunError::Unknown { what: "data file", given: "9".to_owned(), near: Vec::new() }.into(),
                "there is no data file \"9\"; see dataverse-backup status, or the address of the page in Dataverse",
            ),
            (
                RestoreError::NoSuchVersion {
                    version: "9.0".to_owned(),
                    versions: vec!["1.0".to_owned(), "2.0".to_owned()],
                }
                .into(),
                "no dataset of this selection has a version \"9.0\" with files. Available with --version 1.0 or --version 2.0",
            ),
            (
                RestoreError::NoSuchVersion { version: "9.0".to_owned(), versions: Vec::new() }.into(),
                "no dataset of this selection has a version \"9.0\" with files. No version has any; without --names they come \
                 in Dataverse's own layout",
            ),
        ] {
            assert_eq!(failure.text(), text);
        }
    }
}
