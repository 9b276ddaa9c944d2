CREATE TABLE backup_mark (
    name        text PRIMARY KEY,
    value       text NOT NULL,
    recorded_at timestamptz(3) NOT NULL
);
COMMENT ON TABLE backup_mark IS 'Where work that many runs share goes on the next time';
ALTER TABLE backup_state ADD COLUMN audited_at timestamptz(3) NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN backup_state.audited_at IS
    'When the bytes of a data file were last read in their store and found good; -infinity: never, as far as is known';
UPDATE backup_state SET audited_at = last_backup WHERE kind = 'file' AND last_backup IS NOT NULL;
-- What is safe, in the order in which it is to be read again.
CREATE INDEX backup_state_audited ON backup_state (destination, audited_at, id)
    WHERE kind = 'file' AND status = 'OK' AND gone_since IS NULL;
