//! Which section speaks to which requirement of the frameworks that repositories are certified by.

use crate::model::Crosswalk;

/// What a reader might look for here in vain.
pub(crate) const NOT_SHOWN: &[&str] = &[
    "The backup of Dataverse's PostgreSQL database: metadata, users, permissions and the file table are not data files, and \
     need a dump (pg_dump) with its own copies and its own restore tests.",
    "Formats: what the files are, whether they can still be opened, virus checks, migration.",
    "Policy: preservation plans, contracts, budgets, who is allowed to do what, training, succession.",
    "The rooms, media and staff behind a destination: Place, Medium, Region and Administrator are what the configuration \
     says; this program cannot look.",
    "What happened outside this program: by hand at a destination, in a store, or in the ledger's tables.",
];

/// The crosswalk. It says where to look, never that something is met.
pub(crate) const CROSSWALK: &[Crosswalk] = &[
    Crosswalk {
        section: "Holdings",
        shows: "how many data files and bytes have how many proved copies, and what has none",
        core_trust_seal: "R14",
        ndsa: "Storage 1, 2, 4 (number of copies)",
        iso_16363: "5.1.1.2, 5.1.2",
        nestor: "C15",
        eosc_eden: "CPP-011 Replication, CPP-013 Object Management Reporting",
    },
    Crosswalk {
        section: "Destinations",
        shows: "where the copies are, on what, who is responsible, what keeps them from being deleted",
        core_trust_seal: "R14",
        ndsa: "Storage 1–4 (places, media, threats), Control 1–2 (agents)",
        iso_16363: "5.1.1.2, 5.1.2",
        nestor: "C15",
        eosc_eden: "CPP-011 Replication",
    },
    Crosswalk {
        section: "Fixity",
        shows: "when bytes were last compared with recorded digests, on both sides, how, and with which result",
        core_trust_seal: "R14",
        ndsa: "Integrity 1 (digests made and verified), 2 (verified when copied), 3 (at fixed intervals, outcomes documented)",
        iso_16363: "5.1.1.3",
        nestor: "C15",
        eosc_eden: "CPP-001 Checksum Generation, CPP-002 Checksum Validation, CPP-003 Integrity Checking",
    },
    Crosswalk {
        section: "Incidents and acknowledged losses",
        shows: "all damage and loss that was found, its cause in the administrator's words, and how it was repaired",
        core_trust_seal: "R14",
        ndsa: "Integrity 4 (corrupted content replaced or repaired)",
        iso_16363: "5.1.1.3.1",
        nestor: "C15",
        eosc_eden: "CPP-004 Data Corruption Management",
    },
    Crosswalk {
        section: "Drills",
        shows: "that files were restored from a destination alone and were the right ones",
        core_trust_seal: "R14",
        ndsa: "Integrity 3 (audit on demand)",
        iso_16363: "5.1.1.2",
        nestor: "C15",
        eosc_eden: "CPP-002 Checksum Validation",
    },
    Crosswalk {
        section: "Purges",
        shows: "what was deleted on purpose, and on which basis",
        core_trust_seal: "R14",
        ndsa: "Control 3 (who deleted what)",
        iso_16363: "5.1.2",
        nestor: "C15",
        eosc_eden: "CPP-017 Disposal",
    },
    Crosswalk {
        section: "Commands and overrides",
        shows: "who did what and when, and which safety brakes were taken off",
        core_trust_seal: "R14",
        ndsa: "Control 3 (logs that name agents), Control 4 (their review)",
        iso_16363: "5.1.1.3",
        nestor: "C15",
        eosc_eden: "CPP-013 Object Management Reporting, CPP-016 Metadata Ingest and Management",
    },
];
