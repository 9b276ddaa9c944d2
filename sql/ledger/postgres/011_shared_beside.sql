-- An audit reads Dataverse's stores alone: hosts share one beside a run that has the destination, and not instead of it.
ALTER TABLE backup_shared ADD COLUMN beside boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN backup_shared.beside IS 'It goes on beside what has the destination';
DROP INDEX backup_shared_open;
CREATE UNIQUE INDEX backup_shared_open ON backup_shared (destination, beside) WHERE phase < 3;
