-- The rows that a run reads of a Dataverse 6.9's database, in its order, with the settings that it takes.
SET default_transaction_read_only = on;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
COPY (
    SELECT f.id, o.storageidentifier, f.checksumtype, f.checksumvalue, f.contenttype, f.filesize, f.ingeststatus, f.restricted,
           to_char(e.dateavailable, 'YYYY-MM-DD'), to_char(r.dateunavailable, 'YYYY-MM-DD'), f.prov_entityname,
           o.protocol, o.authority, o.separator, o.identifier,
           d.id, od.protocol, od.authority, od.separator, od.identifier, od.storageidentifier, l.dataset_id IS NOT NULL
    FROM datafile f
    LEFT JOIN dvobject o ON o.id = f.id
    LEFT JOIN dataset d ON d.id = o.owner_id
    LEFT JOIN dvobject od ON od.id = d.id
    LEFT JOIN (SELECT DISTINCT dataset_id FROM datasetlock WHERE reason = 'Ingest') l ON l.dataset_id = d.id
    LEFT JOIN embargo e ON e.id = f.embargo_id
    LEFT JOIN retention r ON r.id = f.retention_id
    WHERE d.harvestingclient_id IS NULL ORDER BY f.id
) TO STDOUT;
COPY (
    SELECT m.datafile_id, v.id, v.versionstate, v.versionnumber, v.minorversionnumber, m.label, m.directorylabel
    FROM filemetadata m LEFT JOIN datasetversion v ON v.id = m.datasetversion_id
    WHERE m.datafile_id IS NOT NULL ORDER BY m.datafile_id
) TO STDOUT;
