-- The original script's table, kept for ever, and a view in its place that knows better where we do.
CREATE TABLE IF NOT EXISTS datafilestatus_original (
    id                INTEGER PRIMARY KEY,
    datasetidentifier TEXT,
    storageidentifier TEXT UNIQUE,
    status            TEXT,
    createdate        TEXT,
    lastbackuptime    TEXT,
    lastbackupmethod  TEXT
);

-- Dataverse 4.20 wrote 'file://' before bare storage identifiers: the original's bare row is then the same data file.
DROP VIEW IF EXISTS datafilestatus;
CREATE VIEW datafilestatus AS
WITH ours AS (
    SELECT s.* FROM backup_state s JOIN backup_destination d ON d.id = s.destination
    WHERE d.name = 'default' AND s.kind = 'file'
)
SELECT id,
       dataset_identifier AS datasetidentifier,
       storage_identifier AS storageidentifier,
       status,
       NULL               AS createdate,
       last_backup        AS lastbackuptime,
       method             AS lastbackupmethod
FROM ours
UNION ALL
SELECT o.id, o.datasetidentifier, o.storageidentifier, o.status, o.createdate, o.lastbackuptime, o.lastbackupmethod
FROM datafilestatus_original o
WHERE (o.storageidentifier IN (SELECT storage_identifier FROM ours)) IS NOT TRUE
  AND ((o.datasetidentifier, 'file://' || o.storageidentifier) IN (
    SELECT dataset_identifier, storage_identifier FROM ours)) IS NOT TRUE;
