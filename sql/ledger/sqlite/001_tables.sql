-- The backup database: what became of each data file and each object at each destination.
-- Times are RFC 3339 UTC text with milliseconds. Columns as in the PostgreSQL tables.

CREATE TABLE backup_destination (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE backup_run (
    id          TEXT NOT NULL PRIMARY KEY,
    destination INTEGER NOT NULL REFERENCES backup_destination,
    started     TEXT NOT NULL,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    finished    TEXT,
    catalogued  INTEGER,
    exit_code   INTEGER,
    summary     TEXT
) STRICT;
CREATE INDEX backup_run_newest ON backup_run (destination, started);

CREATE TABLE backup_state (
    destination        INTEGER NOT NULL REFERENCES backup_destination,
    id                 INTEGER NOT NULL,
    kind               TEXT NOT NULL CHECK (kind IN ('file', 'dataset')),
    status             TEXT NOT NULL,
    fingerprint        TEXT NOT NULL,
    reason             TEXT,
    basis              TEXT,
    provisional        INTEGER NOT NULL,
    dataset            TEXT,
    dataset_identifier TEXT,
    storage_identifier TEXT,
    label              TEXT,
    method             TEXT NOT NULL,
    first_seen         TEXT NOT NULL,
    last_backup        TEXT,
    gone_since         TEXT,
    run                TEXT NOT NULL,
    recorded_at        TEXT NOT NULL,
    PRIMARY KEY (destination, id)
) STRICT, WITHOUT ROWID;
-- Datasets are few among the data files: listing them must not read those.
CREATE INDEX backup_state_datasets ON backup_state (destination, id) WHERE kind = 'dataset';

CREATE TABLE backup_copy (
    destination INTEGER NOT NULL REFERENCES backup_destination,
    id          INTEGER NOT NULL,
    role        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    key         TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('reserved', 'proved', 'damaged')),
    size        INTEGER,
    sha256      BLOB,
    md5         BLOB,
    sha1        BLOB,
    sha512      BLOB,
    evidence    TEXT,
    first_seen  TEXT NOT NULL,
    proved_at   TEXT,
    adopted     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (destination, id, role, version),
    UNIQUE (destination, key),
    CHECK (
        state = 'reserved'
        OR (size IS NOT NULL AND sha256 IS NOT NULL AND evidence IS NOT NULL AND proved_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
