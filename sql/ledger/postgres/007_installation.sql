-- Who this installation is, among all that may come to a destination. Destinations carry the same id.
CREATE TABLE backup_installation (
    one  integer PRIMARY KEY CHECK (one = 1),
    id   text NOT NULL,
    made timestamptz NOT NULL
);
-- When the destination was first seen to carry it.
ALTER TABLE backup_destination ADD COLUMN marked_at timestamptz;
