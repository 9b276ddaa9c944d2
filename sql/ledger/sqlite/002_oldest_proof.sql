-- Copies in the order in which they are to be looked at again: the one whose proof is oldest first.
CREATE INDEX backup_copy_oldest ON backup_copy (destination, proved_at, id, role, version) WHERE state = 'proved';
-- The few that were found bad, to be looked at again before all others.
CREATE INDEX backup_copy_damaged ON backup_copy (destination, id, role, version) WHERE state = 'damaged';
