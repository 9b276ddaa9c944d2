-- Several hosts share one run: this database is the queue. Few rows, each of a few hundred data files, and none is changed
-- between its claim and its end: what lives by the second is in backup_worker alone.
CREATE TABLE backup_shared (
    number      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination integer NOT NULL REFERENCES backup_destination,
    command     text NOT NULL,
    run         text NOT NULL UNIQUE,
    parameters  text NOT NULL,
    lease_ms    bigint NOT NULL,
    phase       smallint NOT NULL CHECK (phase BETWEEN 0 AND 4),
    began       timestamptz(3) NOT NULL,
    ended       timestamptz(3),
    plan        text,
    total       text
);
COMMENT ON TABLE backup_shared IS 'Runs that several hosts share';
COMMENT ON COLUMN backup_shared.parameters IS 'What all hosts that join must be asked for alike, JSON';
COMMENT ON COLUMN backup_shared.lease_ms IS 'How long a host may give no sign before its work is given to others';
COMMENT ON COLUMN backup_shared.phase IS '0: it is planned, 1: worked on, 2: closed, 3: done, 4: given up';
COMMENT ON COLUMN backup_shared.plan IS 'What the host that planned leaves to the others, JSON';
COMMENT ON COLUMN backup_shared.total IS 'What all hosts together have done, JSON';
CREATE UNIQUE INDEX backup_shared_open ON backup_shared (destination) WHERE phase < 3;

CREATE TABLE backup_range (
    shared     integer NOT NULL REFERENCES backup_shared ON DELETE CASCADE,
    phase      smallint NOT NULL,
    number     integer NOT NULL,
    state      text NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'aside')),
    worker     text,
    token      bigint NOT NULL DEFAULT 0,
    deaths     smallint NOT NULL DEFAULT 0,
    claimed_at timestamptz(3),
    files      bigint NOT NULL,
    work       bytea,
    result     text,
    PRIMARY KEY (shared, phase, number)
);
COMMENT ON TABLE backup_range IS 'Ranges of work of a shared run. Planning and closing are ranges too: one each';
COMMENT ON COLUMN backup_range.token IS 'Rises with each claim; who writes with an older one has lost the range';
COMMENT ON COLUMN backup_range.deaths IS 'Hosts that died with it; after the third it is set aside';
COMMENT ON COLUMN backup_range.work IS 'Data files of the range, compressed';
-- It is compressed already.
ALTER TABLE backup_range ALTER COLUMN work SET STORAGE EXTERNAL;
CREATE INDEX backup_range_open ON backup_range (shared, phase, number) WHERE state = 'open';
CREATE INDEX backup_range_claimed ON backup_range (shared, phase, number) WHERE state = 'claimed';

CREATE TABLE backup_worker (
    id      text PRIMARY KEY,
    shared  integer NOT NULL REFERENCES backup_shared ON DELETE CASCADE,
    host    text NOT NULL,
    pid     bigint NOT NULL,
    backend integer NOT NULL,
    joined  timestamptz(3) NOT NULL,
    seen    timestamptz(3) NOT NULL,
    left_at timestamptz(3),
    ranges  bigint NOT NULL DEFAULT 0,
    files   bigint NOT NULL DEFAULT 0,
    bytes   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE backup_worker IS 'Hosts that take part in a shared run; id is the name of their folder for temporaries';
COMMENT ON COLUMN backup_worker.seen IS 'Last sign of life, by this server''s clock';
CREATE INDEX backup_worker_shared ON backup_worker (shared);
