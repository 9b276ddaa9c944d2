-- An incident begins when damage is found, and ends when it is mended; until now a row was written only of what was mended.
ALTER TABLE backup_incident RENAME COLUMN run TO mended_by;
ALTER TABLE backup_incident
    ALTER COLUMN mended_at DROP NOT NULL,
    ALTER COLUMN mended_by DROP NOT NULL,
    ALTER COLUMN mended_from DROP NOT NULL,
    ALTER COLUMN evidence DROP NOT NULL,
    ALTER COLUMN size DROP NOT NULL,
    ALTER COLUMN sha256 DROP NOT NULL,
    ADD COLUMN command text,
    ADD COLUMN expected_size bigint,
    ADD COLUMN expected bytea,
    ADD COLUMN actual_size bigint,
    ADD COLUMN actual bytea;
COMMENT ON TABLE backup_incident IS 'Damage and loss: one row an object, from when it was found to when it was mended';
COMMENT ON COLUMN backup_incident.mended_at IS 'NULL: it is not mended yet';
COMMENT ON COLUMN backup_incident.command IS 'Which command found it; NULL in rows from before this column';
COMMENT ON COLUMN backup_incident.expected IS 'Digest that was on record; its length says of which algorithm';
COMMENT ON COLUMN backup_incident.actual IS 'Digest of what was there; NULL where it was not read, or nothing was there';
-- Damage that is found again is the same incident as long as it is not mended.
CREATE UNIQUE INDEX backup_incident_open ON backup_incident (id, role, version, side, place) WHERE mended_at IS NULL;
