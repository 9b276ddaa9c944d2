//! What every catalogue does.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use dvb_catalog::{Detail, Entry};
use dvb_model::DataFile;
use dvb_testkit::dataverse::Schema;

use crate::bench::Bench;
use crate::{entries, expected};

/// Makes a test of each named check, on each bench, which is made once: nothing changes it.
macro_rules! suite {
    ($($bench:ident: $make:expr;)*) => { $(
        mod $bench {
            use super::*;
            static BENCH: LazyLock<Bench> = LazyLock::new(|| $make);
            suite! { @
                all_is_as_it_should_be, the_essential_is_less, what_is_harvested_is_left_out, files_without_a_dataset_are_there,
                rows_that_repeat_make_one_file, versions_come_oldest_first, separators_are_those_of_the_pid,
                locks_of_other_kinds_do_not_count, the_visitor_may_break_off,
            }
        }
    )* };
    (@ $($check:ident,)*) => { $(
        #[test]
        fn $check() {
            super::$check(&BENCH);
        }
    )* };
}

suite! {
    database_of_4_8: Bench::database(Schema::V4_8);
    database_of_6_9: Bench::database(Schema::V6_9);
    snapshot_of_4_8: Bench::snapshot(Schema::V4_8, false);
    compressed_snapshot_of_4_8: Bench::snapshot(Schema::V4_8, true);
    snapshot_of_6_9: Bench::snapshot(Schema::V6_9, false);
    compressed_snapshot_of_6_9: Bench::snapshot(Schema::V6_9, true);
}

/// Compares entry by entry: a difference is told by itself.
pub(crate) fn assert_entries(found: &[Entry], wanted: &[Entry]) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.len(), wanted.len());
}

fn of_kind(bench: &Bench, kind: &str) -> Vec<DataFile> {
    let id = bench.world.of_kind(kind).id;
    let files = entries(&*bench.catalog, Detail::Full).unwrap().into_iter().filter_map(|entry| match entry {
        Entry::DataFile(file) => Some(file),
        Entry::Dataset(_) => None,
    });
    files.filter(|it| it.id.0 == id).collect()
}

fn all_is_as_it_should_be(bench: &Bench) {
    let found = entries(&*bench.catalog, Detail::Full).unwrap();
    assert_entries(&found, &expected::entries(&bench.world, Detail::Full));
}

fn the_essential_is_less(bench: &Bench) {
    let found = entries(&*bench.catalog, Detail::Essential).unwrap();
    assert_entries(&found, &expected::entries(&bench.world, Detail::Essential));
    assert!(entries(&*bench.catalog, Detail::Full).unwrap() != found);
}

fn what_is_harvested_is_left_out(bench: &Bench) {
    assert_eq!(of_kind(bench, "harvested with a plausible name"), []);
    let pids = entries(&*bench.catalog, Detail::Essential).unwrap().into_iter().filter_map(|entry| match entry {
        Entry::Dataset(dataset) => Some(dataset.pid),
        Entry::DataFile(_) => None,
    });
    let pids: Vec<_> = pids.collect();
    assert!(pids.contains(&"doi:10.5072/FK2/EMPTY".into()), "a dataset without files is there");
    assert!(!pids.contains(&"doi:10.5072/FK2/HARVESTED".into()), "{pids:?}");
}

fn files_without_a_dataset_are_there(bench: &Bench) {
    for kind in ["without an owner", "owned by a collection"] {
        let [file] = of_kind(bench, kind).try_into().expect("one file");
        assert_eq!(file.dataset, None, "{kind}");
        assert_eq!(file.versions.len(), 2, "{kind}");
    }
}

fn rows_that_repeat_make_one_file(bench: &Bench) {
    let newer = bench.world.schema == Schema::V6_9;
    assert_eq!(bench.world.of_kind("tabular twice").tables.len(), 2);
    assert_eq!(of_kind(bench, "tabular twice").len(), 1);
    let [file] = of_kind(bench, "tables that complete each other").try_into().expect("one file");
    let tabular = file.tabular.unwrap();
    assert_eq!(tabular.original_format.as_deref(), Some("application/x-spss-sav"));
    assert_eq!(tabular.original_size, newer.then_some(77));
    assert_eq!(tabular.original_name.as_deref(), newer.then_some("first.sav"));
}

fn versions_come_oldest_first(bench: &Bench) {
    let [file] = of_kind(bench, "renamed in each version").try_into().expect("one file");
    let found: Vec<_> =
        file.versions.iter().map(|it| (it.version.as_deref(), it.state.as_str(), it.label.as_str())).collect();
    let wanted = [
        (Some("1.0"), "ARCHIVED", "name 5"),
        (Some("2.9"), "DEACCESSIONED", "name 4"),
        (Some("2.10"), "RELEASED", "name 3"),
        (Some("10.0"), "RELEASED", "name 2"),
        (None, "DRAFT", "name 1"),
    ];
    assert_eq!(found, wanted);
    assert_eq!(file.versions[2].directory.as_deref(), Some("a/b"));
}

fn separators_are_those_of_the_pid(bench: &Bench) {
    let [file] = of_kind(bench, "separator of its own").try_into().expect("one file");
    let dataset = file.dataset.unwrap();
    let authority = if bench.world.schema == Schema::V4_8 { "10.5072/FK2" } else { "10.5072" };
    assert_eq!(dataset.pid, format!("doi:{authority}.SEPARATED"));
    assert_eq!(
        dataset.storage_pids[0].directory(),
        format!("{authority}/SEPARATED"),
        "a path has '/' (dataverse.md 1.4)"
    );
    let all = entries(&*bench.catalog, Detail::Essential).unwrap();
    assert!(all.iter().any(|it| matches!(it, Entry::Dataset(it) if it.pid == "perma:XYZJOINED")), "no separator");
}

fn locks_of_other_kinds_do_not_count(bench: &Bench) {
    let all = entries(&*bench.catalog, Detail::Essential).unwrap();
    let locked: Vec<_> = all
        .iter()
        .filter_map(|entry| match entry {
            Entry::Dataset(entry) if entry.ingest_locked => Some(entry.pid.rsplit('/').next().unwrap()),
            Entry::Dataset(_) | Entry::DataFile(_) => None,
        })
        .collect();
    assert_eq!(locked, ["INGEST", "TWICE"]);
    let [file] = of_kind(bench, "locked twice").try_into().expect("one file");
    assert!(file.is_being_ingested());
}

fn the_visitor_may_break_off(bench: &Bench) {
    let all = entries(&*bench.catalog, Detail::Full).unwrap();
    let datasets = all.iter().filter(|it| matches!(it, Entry::Dataset(_))).count();
    for wanted in [1, datasets, datasets + 3] {
        let mut seen = Vec::new();
        let visit = &mut |entry| {
            seen.push(entry);
            if seen.len() == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        bench.catalog.read(Detail::Full, visit).unwrap();
        assert_entries(&seen, &all[..wanted]);
    }
}
