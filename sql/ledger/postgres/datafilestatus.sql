-- The original script's table, kept for ever, and a view in its place that knows better where we do.
CREATE TABLE IF NOT EXISTS datafilestatus_original (
    id                integer PRIMARY KEY,
    datasetidentifier varchar(255),
    storageidentifier varchar(255) UNIQUE,
    status            varchar(255),
    createdate        timestamp,
    lastbackuptime    timestamp,
    lastbackupmethod  varchar(16)
);

-- Dataverse 4.20 wrote 'file://' before bare storage identifiers: the original's bare row is then the same data file.
CREATE OR REPLACE VIEW datafilestatus AS
WITH ours AS (
    SELECT s.* FROM backup_state s JOIN backup_destination d ON d.id = s.destination
    WHERE d.name = 'default' AND s.kind = 'file'
)
SELECT CASE WHEN id <= 2147483647 THEN id::integer END AS id,
       dataset_identifier::varchar                     AS datasetidentifier,
       storage_identifier::varchar                     AS storageidentifier,
       status::varchar                                 AS status,
       NULL::timestamp                                 AS createdate,
       (last_backup AT TIME ZONE 'UTC')::timestamp     AS lastbackuptime,
       method::varchar                                 AS lastbackupmethod
FROM ours
UNION ALL
SELECT o.id::integer, o.datasetidentifier::varchar, o.storageidentifier::varchar, o.status::varchar,
       o.createdate::timestamp, o.lastbackuptime::timestamp, o.lastbackupmethod::varchar
FROM datafilestatus_original o
WHERE NOT EXISTS (SELECT FROM ours WHERE ours.storage_identifier = o.storageidentifier)
  AND NOT EXISTS (
    SELECT FROM ours
    WHERE ours.storage_identifier = 'file://' || o.storageidentifier
      AND ours.dataset_identifier = o.datasetidentifier);

-- Who could read the table can read the view.
DO $$
DECLARE
    reader record;
BEGIN
    FOR reader IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'datafilestatus_original' AND privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON datafilestatus TO %s',
                       CASE WHEN reader.grantee = 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(reader.grantee) END);
    END LOOP;
END
$$;
