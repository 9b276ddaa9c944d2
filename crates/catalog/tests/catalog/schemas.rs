//! Databases that are not quite what a version number would promise.

use dvb_catalog::{CatalogError, Detail, Entry, PidPlace};
use dvb_model::{DataFile, Dataset, StoragePid};
use dvb_testkit::dataverse::Schema;
use dvb_testkit::postgres::shared;

use crate::bench::{catalog, empty, filled};
use crate::suite::assert_entries;
use crate::{entries, expected, told};

/// Reads 6.9 after `sql`, and compares with what is expected after `change`.
fn check_after(sql: &str, change: impl Fn(&mut Entry)) {
    let (world, database) = filled(Schema::V6_9);
    database.execute(sql);
    let mut wanted = expected::entries(&world, Detail::Full);
    let before = wanted.clone();
    wanted.iter_mut().for_each(change);
    assert!(before != wanted, "{sql} would change nothing");
    assert_entries(&entries(&catalog(&database), Detail::Full).unwrap(), &wanted);
}

fn with_file(change: impl Fn(&mut DataFile)) -> impl Fn(&mut Entry) {
    move |entry| match entry {
        Entry::DataFile(file) => change(file),
        Entry::Dataset(_) => {}
    }
}

fn with_dataset(change: impl Fn(&mut Dataset)) -> impl Fn(&mut Entry) {
    move |entry| match entry {
        Entry::DataFile(file) => file.dataset.iter_mut().for_each(&change),
        Entry::Dataset(dataset) => change(dataset),
    }
}

#[test]
fn what_came_later_may_be_missing() {
    let own = |dataset: &mut Dataset| {
        let rest = dataset.pid.split_once(':').map(|it| it.1).unwrap_or_default();
        if let Some((authority, identifier)) = rest.split_once('/') {
            dataset.storage_pids = vec![StoragePid { authority: authority.into(), identifier: identifier.into() }];
        }
        dataset.alternative_pids.clear();
    };
    // A deployment that went wrong after 4.9.4 (dataverse.md 1.1).
    check_after("DROP TABLE alternativepersistentidentifier", with_dataset(own));
    check_after("DROP TABLE auxiliaryfile", with_file(|it| it.auxiliary.clear()));
    check_after("ALTER TABLE datafile DROP embargo_id; DROP TABLE embargo", with_file(|it| it.embargo = None));
    check_after("ALTER TABLE datafile DROP retention_id", with_file(|it| it.retention = None));
    check_after("ALTER TABLE datafile DROP prov_entityname", with_file(|it| it.provenance_entity = None));
    let tabular = |change: fn(&mut dvb_model::Tabular)| with_file(move |it| it.tabular.iter_mut().for_each(change));
    check_after("ALTER TABLE datatable DROP originalfilesize", tabular(|it| it.original_size = None));
    check_after("ALTER TABLE datatable DROP originalfilename", tabular(|it| it.original_name = None));
    let unfolded = |it: &mut DataFile| it.versions.iter_mut().for_each(|it| it.directory = None);
    check_after("ALTER TABLE filemetadata DROP directorylabel", with_file(unfolded));
    let slashed = |dataset: &mut Dataset| {
        let StoragePid { authority, identifier } = dataset.storage_pids[0].clone();
        if dataset.pid.ends_with(".SEPARATED") || dataset.pid.ends_with("XYZJOINED") {
            dataset.pid = format!("{}:{authority}/{identifier}", dataset.pid.split(':').next().unwrap());
        }
    };
    check_after("ALTER TABLE dvobject DROP separator", with_dataset(slashed));
    check_after("UPDATE dvobject SET separator = NULL", with_dataset(slashed));
}

#[test]
fn ids_and_texts_of_other_types_are_read() {
    // Fresh installations by other versions of EclipseLink (dataverse.md 1.2): each the other way round.
    let swap = "DO $$ DECLARE c record; BEGIN
        FOR c IN SELECT table_name AS t, column_name AS n, data_type AS d FROM information_schema.columns
            WHERE table_schema = 'public' AND data_type IN ('integer', 'bigint', 'character varying', 'character')
        LOOP EXECUTE format('ALTER TABLE %I ALTER %I TYPE %s', c.t, c.n,
            CASE c.d WHEN 'integer' THEN 'bigint' WHEN 'bigint' THEN 'integer' ELSE 'text' END); END LOOP; END $$";
    for schema in Schema::ALL {
        let (world, database) = filled(schema);
        database.execute(swap);
        let types = "SELECT string_agg(data_type, ',' ORDER BY table_name) FROM information_schema.columns
            WHERE table_name IN ('datafile', 'dvobject') AND column_name = 'id'";
        assert_eq!(database.client().query_one(types, &[]).unwrap().get::<_, &str>(0), "integer,bigint");
        let found = entries(&catalog(&database), Detail::Full).unwrap();
        assert_entries(&found, &expected::entries(&world, Detail::Full));
    }
}

#[test]
fn dates_do_not_depend_on_the_server_s_style() {
    let (world, database) = filled(Schema::V6_9);
    database.execute(&format!("ALTER DATABASE {} SET datestyle = 'German, DMY'", database.name));
    let found = entries(&catalog(&database), Detail::Full).unwrap();
    assert_entries(&found, &expected::entries(&world, Detail::Full));
}

#[test]
fn null_in_odd_places_is_not_the_end() {
    let odd = "ALTER TABLE datafile ALTER checksumtype DROP NOT NULL, ALTER checksumvalue DROP NOT NULL,
            ALTER contenttype DROP NOT NULL;
        ALTER TABLE filemetadata ALTER label DROP NOT NULL;
        ALTER TABLE auxiliaryfile ALTER formattag DROP NOT NULL;
        UPDATE datafile SET checksumtype = NULL, checksumvalue = NULL, contenttype = NULL, restricted = NULL;
        UPDATE filemetadata SET label = NULL; UPDATE datasetversion SET versionstate = NULL;
        UPDATE auxiliaryfile SET formattag = NULL, formatversion = NULL;
        UPDATE alternativepersistentidentifier SET authority = NULL;
        UPDATE dvobject SET protocol = NULL, authority = NULL, identifier = NULL WHERE dtype = 'Dataset'";
    let (world, database) = filled(Schema::V6_9);
    database.execute(odd);
    let found = entries(&catalog(&database), Detail::Full).unwrap();
    assert_eq!(found.len(), expected::entries(&world, Detail::Full).len());
    for entry in found {
        let dataset = match entry {
            Entry::Dataset(dataset) => Some(dataset),
            Entry::DataFile(file) => {
                assert_eq!([file.checksum_type, file.checksum_value, file.content_type].concat(), "");
                assert!(!file.restricted);
                assert!(file.versions.iter().all(|it| it.label.is_empty() && it.state.is_empty()));
                assert!(file.auxiliary.iter().all(|it| it.tag() == "_"));
                file.dataset
            }
        };
        if let Some(dataset) = dataset {
            assert_eq!(dataset.pid, "");
            assert!(!dataset.storage_pids.is_empty() && dataset.storage_pids.iter().all(|it| it.authority.is_empty()));
        }
    }
}

/// What is missing after `sql`, by reading and by a probe.
fn missing_after(schema: Schema, sql: &str) -> Vec<String> {
    let database = empty(schema);
    database.execute(sql);
    let catalog = catalog(&database);
    let errors = [entries(&catalog, Detail::Essential).unwrap_err(), catalog.probe().unwrap_err()];
    let [read, probed] = errors.map(|error| {
        let text = told(&error);
        assert!(!error.is_transient());
        let CatalogError::UnknownSchema { missing, .. } = error else { panic!("{text}") };
        assert!(text.contains(&missing.join(", ")), "{text}");
        missing
    });
    assert_eq!(read, probed);
    read
}

#[test]
fn every_column_that_is_missing_is_named() {
    let (old, new) = (Schema::V4_8, Schema::V6_9);
    let names = "ALTER TABLE datafile DROP checksumvalue; ALTER TABLE datasetlock DROP reason";
    for schema in Schema::ALL {
        assert_eq!(missing_after(schema, names), ["datafile.checksumvalue", "datasetlock.reason"]);
    }
    let table = "DROP TABLE filemetadata";
    let columns = ["filemetadata.datafile_id", "filemetadata.datasetversion_id", "filemetadata.label"];
    assert_eq!(missing_after(new, table), columns);
    // Before 4.8.
    assert_eq!(missing_after(old, "ALTER TABLE dvobject DROP storageidentifier"), ["dvobject.storageidentifier"]);
    assert_eq!(missing_after(old, "ALTER TABLE dataset DROP authority CASCADE"), ["dataset.authority"]);
    assert_eq!(missing_after(new, "ALTER TABLE dvobject DROP identifier CASCADE"), ["dvobject.identifier"]);
}

#[test]
fn what_came_later_is_whole_or_refused() {
    let new = Schema::V6_9;
    assert_eq!(missing_after(new, "ALTER TABLE auxiliaryfile DROP checksum"), ["auxiliaryfile.checksum"]);
    assert_eq!(missing_after(new, "DROP TABLE embargo CASCADE"), ["embargo.id", "embargo.dateavailable"]);
    let designator = "alternativepersistentidentifier.storagelocationdesignator";
    let drop = "ALTER TABLE alternativepersistentidentifier DROP storagelocationdesignator";
    assert_eq!(missing_after(new, drop), [designator]);
}

#[test]
fn another_database_is_none_of_a_dataverse() {
    let database = shared().create_database("other");
    let error = catalog(&database).probe().unwrap_err();
    let CatalogError::UnknownSchema { missing, .. } = &error else { panic!("{error:?}") };
    for name in ["dvobject.id", "dvobject.authority", "dataset.id", "datafile.id", "datasetversion.versionstate"] {
        assert!(missing.iter().any(|it| it == name), "{missing:?} lacks {name}");
    }
}

#[test]
fn the_schema_on_the_search_path_is_the_one() {
    let (world, database) = filled(Schema::V6_9);
    // A copy that an administrator left, of another version, in a schema that comes later.
    database.execute(&format!(
        "CREATE SCHEMA left_over; CREATE TABLE left_over.dataset AS SELECT 1 AS id, ''::text AS authority, '' AS protocol, '' AS identifier;
         ALTER DATABASE {} SET search_path = public, left_over",
        database.name
    ));
    assert_entries(&entries(&catalog(&database), Detail::Full).unwrap(), &expected::entries(&world, Detail::Full));
    database.execute(&format!("ALTER DATABASE {} SET search_path = left_over", database.name));
    assert!(matches!(catalog(&database).probe(), Err(CatalogError::UnknownSchema { .. })));
}

#[test]
fn pids_are_taken_from_where_dataverse_keeps_them() {
    // Columns that an upgrade by hand forgot to drop, and one that such an upgrade began with.
    let left_over =
        "ALTER TABLE dataset ADD protocol text, ADD authority text, ADD doiseparator text, ADD identifier text";
    for (schema, sql) in [(Schema::V6_9, left_over), (Schema::V4_8, "ALTER TABLE dvobject ADD identifier text")] {
        let (world, database) = filled(schema);
        database.execute(sql);
        assert_entries(&entries(&catalog(&database), Detail::Full).unwrap(), &expected::entries(&world, Detail::Full));
    }
}

#[test]
fn a_probe_tells_what_there_is() {
    for schema in Schema::ALL {
        let (world, database) = filled(schema);
        let probe = catalog(&database).probe().unwrap();
        let harvested = 2;
        let files = world.files.len() as u64 - harvested;
        let datasets = world.datasets.iter().filter(|it| !it.harvested).count() as u64;
        let counts = (probe.data_files, probe.harvested, probe.orphaned, probe.datasets);
        assert_eq!(counts, (files, harvested, 2, datasets));
        let later = [
            "alternative PIDs",
            "auxiliary files",
            "sizes of saved originals",
            "provenance",
            "embargoes",
            "retention periods",
        ];
        let (place, start, present, absent) = match schema {
            Schema::V4_8 => {
                (PidPlace::Dataset, "PIDs in dataset (4.8); not in this version: alternative", &[][..], &later[..])
            }
            Schema::V6_9 => {
                (PidPlace::DvObject, "PIDs in dvobject (4.9 or later); readable: alternative", &later[..], &[][..])
            }
        };
        assert_eq!((probe.pids, &*probe.present, &*probe.absent), (place, present, absent));
        let text = probe.to_string();
        let end = format!("; {files} data files in {datasets} datasets, 2 harvested left out, 2 without a dataset");
        assert!(text.starts_with(start) && text.ends_with(&end), "{text}");
    }
}
