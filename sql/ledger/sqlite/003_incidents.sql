-- What was mended: one row an object. `place` is the driver id of a store, or the name of a destination.
CREATE TABLE backup_incident (
    number      INTEGER PRIMARY KEY,
    mended_at   TEXT NOT NULL,
    run         TEXT NOT NULL,
    id          INTEGER NOT NULL,
    role        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    side        TEXT NOT NULL CHECK (side IN ('store', 'destination')),
    place       TEXT NOT NULL,
    key         TEXT NOT NULL,
    found       TEXT NOT NULL,
    detail      TEXT NOT NULL,
    found_by    TEXT NOT NULL,
    found_at    TEXT NOT NULL,
    mended_from TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    size        INTEGER NOT NULL,
    sha256      BLOB NOT NULL,
    kept        TEXT
) STRICT;
CREATE INDEX backup_incident_of ON backup_incident (id, number);
