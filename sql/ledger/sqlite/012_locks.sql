-- Until when a copy cannot be deleted, as its destination last told; NULL where it has no such lock, or none that is known.
ALTER TABLE backup_copy ADD COLUMN locked_until TEXT;
-- Copies in the order in which their locks end.
CREATE INDEX backup_copy_locked ON backup_copy (destination, locked_until, id, role, version)
    WHERE state = 'proved' AND locked_until IS NOT NULL;
