-- Lets a role read what dataverse-backup reads of Dataverse's database, and nothing else. For Dataverse 4.8 and later;
-- may be run again at any time, and should be after an upgrade of Dataverse, which may bring new tables.
--
-- As the owner of the tables or a superuser, with psql 10 or later:
--
--     CREATE ROLE dataverse_backup LOGIN PASSWORD '...';
--     psql -d dvndb -v role=dataverse_backup -f grants.sql

\set ON_ERROR_STOP 1

\if :{?role}
\else
    DO $$ BEGIN RAISE EXCEPTION 'name the role: psql -v role=NAME -f grants.sql'; END $$;
\endif

BEGIN;

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec

WITH wanted (name) AS (
    VALUES
        ('dvobject'), ('dataset'), ('datafile'), ('datatable'), ('datasetlock'), ('datasetversion'), ('filemetadata'),
        ('alternativepersistentidentifier'), -- 4.9.3
        ('auxiliaryfile'),                   -- 5.3
        ('embargo'),                         -- 5.8
        ('retention')                        -- 6.3
), found AS (
    -- The tables that the search_path leads to; those of later versions may be missing.
    SELECT n.nspname AS schema, c.relname AS name
    FROM wanted
    JOIN pg_class c ON c.relname = wanted.name AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND pg_table_is_visible(c.oid)
    JOIN pg_namespace n ON n.oid = c.relnamespace
), statements AS (
    SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %I', schema, :'role') AS sql FROM found
    UNION ALL
    SELECT format('GRANT SELECT ON %I.%I TO %I', schema, name, :'role') FROM found
)
SELECT sql FROM statements \gexec

COMMIT;
