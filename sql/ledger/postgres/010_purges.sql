-- Lawful purges: what is asked for and who agreed.
CREATE TABLE backup_purge (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run          text NOT NULL UNIQUE,
    state        text NOT NULL CHECK (state IN ('requested', 'approved', 'executing', 'done', 'withdrawn')),
    requested_at timestamptz(3) NOT NULL,
    digest       text NOT NULL,
    record       text NOT NULL
);
COMMENT ON TABLE backup_purge IS 'Lawful purges';
COMMENT ON COLUMN backup_purge.run IS 'Name of the request: unique among all ledgers, tombstones carry it';
COMMENT ON COLUMN backup_purge.digest IS 'SHA-256 of the exact list, which the approval is bound to';
COMMENT ON COLUMN backup_purge.record IS 'JSON: who asked, who agreed, who carried it out, when, on which basis';

CREATE TABLE backup_purge_target (
    purge       bigint NOT NULL REFERENCES backup_purge,
    number      bigint NOT NULL,
    destination text NOT NULL,
    id          bigint,
    state       text NOT NULL CHECK (state IN ('pending', 'locked', 'gone')),
    record      text NOT NULL,
    PRIMARY KEY (purge, number)
);
COMMENT ON TABLE backup_purge_target IS 'What is to go, one row a thing';
COMMENT ON COLUMN backup_purge_target.id IS 'Data file; NULL for a snapshot, which names several';
COMMENT ON COLUMN backup_purge_target.record IS 'JSON. When it is gone, with the digest of its name in the place of the name';

CREATE TABLE backup_tombstone (
    destination integer NOT NULL REFERENCES backup_destination,
    id          bigint NOT NULL,
    run         text NOT NULL,
    proved_at   timestamptz(3),
    record      text NOT NULL,
    PRIMARY KEY (destination, id, run)
);
COMMENT ON TABLE backup_tombstone IS 'What is left of a data file at a destination: no names';
COMMENT ON COLUMN backup_tombstone.proved_at IS 'When a listing showed that nothing is left there';
COMMENT ON COLUMN backup_tombstone.record IS 'JSON, as it lies at the destination';

CREATE TABLE backup_hold (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run         text NOT NULL UNIQUE,
    released_at timestamptz(3),
    record      text NOT NULL
);
COMMENT ON TABLE backup_hold IS 'What may not be purged, whoever asks';
COMMENT ON COLUMN backup_hold.record IS 'JSON: data files and datasets, reference, who, when';
