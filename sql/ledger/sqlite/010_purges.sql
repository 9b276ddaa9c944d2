-- Lawful purges: what is asked for and who agreed. Each `record` is JSON.
CREATE TABLE backup_purge (
    number       INTEGER PRIMARY KEY,
    run          TEXT NOT NULL UNIQUE,
    state        TEXT NOT NULL CHECK (state IN ('requested', 'approved', 'executing', 'done', 'withdrawn')),
    requested_at TEXT NOT NULL,
    digest       TEXT NOT NULL,
    record       TEXT NOT NULL
) STRICT;
-- What is to go, one row a thing. When it is gone, its record has the digest of its name in the place of the name.
CREATE TABLE backup_purge_target (
    purge       INTEGER NOT NULL REFERENCES backup_purge,
    number      INTEGER NOT NULL,
    destination TEXT NOT NULL,
    id          INTEGER,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'locked', 'gone')),
    record      TEXT NOT NULL,
    PRIMARY KEY (purge, number)
) STRICT, WITHOUT ROWID;
-- What is left of a data file at a destination: no names.
CREATE TABLE backup_tombstone (
    destination INTEGER NOT NULL REFERENCES backup_destination,
    id          INTEGER NOT NULL,
    run         TEXT NOT NULL,
    proved_at   TEXT,
    record      TEXT NOT NULL,
    PRIMARY KEY (destination, id, run)
) STRICT, WITHOUT ROWID;
-- What may not be purged, whoever asks.
CREATE TABLE backup_hold (
    number      INTEGER PRIMARY KEY,
    run         TEXT NOT NULL UNIQUE,
    released_at TEXT,
    record      TEXT NOT NULL
) STRICT;
