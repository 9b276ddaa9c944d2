-- Where work that many runs share goes on the next time.
CREATE TABLE backup_mark (
    name        TEXT NOT NULL PRIMARY KEY,
    value       TEXT NOT NULL,
    recorded_at TEXT NOT NULL
) STRICT;
-- When the bytes of a data file were last read in their store and found good; empty: never, as far as is known.
ALTER TABLE backup_state ADD COLUMN audited_at TEXT NOT NULL DEFAULT '';
UPDATE backup_state SET audited_at = last_backup WHERE kind = 'file' AND last_backup IS NOT NULL;
-- What is safe, in the order in which it is to be read again.
CREATE INDEX backup_state_audited ON backup_state (destination, audited_at, id)
    WHERE kind = 'file' AND status = 'OK' AND gone_since IS NULL;
