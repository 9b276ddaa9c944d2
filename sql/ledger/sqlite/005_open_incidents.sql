-- An incident begins when damage is found, and ends when it is mended; until now a row was written only of what was mended.
ALTER TABLE backup_incident RENAME TO backup_incident_before;
-- `mended_at` is NULL until it is mended, `command` in rows from before this column. `expected` and `actual` are digests,
-- whose length says of which algorithm; `actual` is NULL where it was not read, or nothing was there.
CREATE TABLE backup_incident (
    number        INTEGER PRIMARY KEY,
    id            INTEGER NOT NULL,
    role          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    side          TEXT NOT NULL CHECK (side IN ('store', 'destination')),
    place         TEXT NOT NULL,
    key           TEXT NOT NULL,
    found         TEXT NOT NULL,
    detail        TEXT NOT NULL,
    command       TEXT,
    found_by      TEXT NOT NULL,
    found_at      TEXT NOT NULL,
    expected_size INTEGER,
    expected      BLOB,
    actual_size   INTEGER,
    actual        BLOB,
    mended_at     TEXT,
    mended_by     TEXT,
    mended_from   TEXT,
    evidence      TEXT,
    size          INTEGER,
    sha256        BLOB,
    kept          TEXT
) STRICT;
INSERT INTO backup_incident (number, id, role, version, side, place, key, found, detail, found_by, found_at, mended_at,
                             mended_by, mended_from, evidence, size, sha256, kept)
SELECT number, id, role, version, side, place, key, found, detail, found_by, found_at, mended_at, run, mended_from,
       evidence, size, sha256, kept
FROM backup_incident_before;
DROP TABLE backup_incident_before;
CREATE INDEX backup_incident_of ON backup_incident (id, number);
-- Damage that is found again is the same incident as long as it is not mended.
CREATE UNIQUE INDEX backup_incident_open ON backup_incident (id, role, version, side, place) WHERE mended_at IS NULL;
