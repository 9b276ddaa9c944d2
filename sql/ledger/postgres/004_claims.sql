-- A copy that a snapshot at the destination claims, after the ledger was lost, has a reserved key and a digest. These are to
-- be proved before all others.
CREATE INDEX backup_copy_claimed ON backup_copy (destination, id, role, version)
    WHERE state = 'reserved' AND sha256 IS NOT NULL;
