-- Who this installation is, among all that may come to a destination. Destinations carry the same id.
CREATE TABLE backup_installation (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    id   TEXT NOT NULL,
    made TEXT NOT NULL
) STRICT;
-- When the destination was first seen to carry it.
ALTER TABLE backup_destination ADD COLUMN marked_at TEXT;
