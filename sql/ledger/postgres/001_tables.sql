-- The backup database: what became of each data file and each object at each destination.

CREATE TABLE backup_destination (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
COMMENT ON TABLE backup_destination IS 'Destinations: "default" is the section [Backup], others are [Backup NAME]';

CREATE TABLE backup_run (
    id          text PRIMARY KEY,
    destination integer NOT NULL REFERENCES backup_destination,
    started     timestamptz(3) NOT NULL,
    host        text NOT NULL,
    pid         bigint NOT NULL,
    finished    timestamptz(3),
    catalogued  bigint,
    exit_code   smallint,
    summary     text
);
COMMENT ON COLUMN backup_run.finished IS 'NULL: it is still running, or was cut off';
COMMENT ON COLUMN backup_run.summary IS 'The summary as the run printed it, JSON';
CREATE INDEX backup_run_newest ON backup_run (destination, started);

CREATE TABLE backup_state (
    destination        integer NOT NULL REFERENCES backup_destination,
    id                 bigint NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('file', 'dataset')),
    status             text NOT NULL,
    fingerprint        text NOT NULL,
    reason             text,
    basis              text,
    provisional        boolean NOT NULL,
    dataset            text,
    dataset_identifier text,
    storage_identifier text,
    label              text,
    method             text NOT NULL,
    first_seen         timestamptz(3) NOT NULL,
    last_backup        timestamptz(3),
    gone_since         timestamptz(3),
    run                text NOT NULL,
    recorded_at        timestamptz(3) NOT NULL,
    PRIMARY KEY (destination, id)
);
COMMENT ON TABLE backup_state IS 'The last verdict on each data file and each dataset at each destination';
COMMENT ON COLUMN backup_state.id IS 'dvobject.id of Dataverse';
COMMENT ON COLUMN backup_state.fingerprint IS 'Digest of the columns of Dataverse that the verdict rests on';
COMMENT ON COLUMN backup_state.dataset IS 'PID of the dataset as people write it';
COMMENT ON COLUMN backup_state.dataset_identifier IS 'Folder of the dataset: <authority>/<identifier>';
COMMENT ON COLUMN backup_state.last_backup IS 'When an object of it was last proved';
COMMENT ON COLUMN backup_state.gone_since IS 'When it was first missed in the catalogue';
-- Datasets are few among the data files: listing them must not read those.
CREATE INDEX backup_state_datasets ON backup_state (destination, id) WHERE kind = 'dataset';

CREATE TABLE backup_copy (
    destination integer NOT NULL REFERENCES backup_destination,
    id          bigint NOT NULL,
    role        text NOT NULL,
    version     integer NOT NULL,
    key         text NOT NULL,
    state       text NOT NULL CHECK (state IN ('reserved', 'proved', 'damaged')),
    size        bigint,
    sha256      bytea,
    md5         bytea,
    sha1        bytea,
    sha512      bytea,
    evidence    text,
    first_seen  timestamptz(3) NOT NULL,
    proved_at   timestamptz(3),
    adopted     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (destination, id, role, version),
    CONSTRAINT backup_copy_key UNIQUE (destination, key),
    CONSTRAINT backup_copy_proof CHECK (
        state = 'reserved'
        OR (size IS NOT NULL AND sha256 IS NOT NULL AND evidence IS NOT NULL AND proved_at IS NOT NULL))
);
COMMENT ON TABLE backup_copy IS 'Each object at each destination; no two ever share a key';
COMMENT ON COLUMN backup_copy.role IS 'main, orig (saved original), aux:<tag>, member:<path> (of a package), dataset:<tag>';
COMMENT ON COLUMN backup_copy.adopted IS 'It was found at the destination, not sent';

CREATE TABLE backup_lock (
    destination text PRIMARY KEY,
    backend_pid integer NOT NULL,
    holder      text NOT NULL
);
COMMENT ON TABLE backup_lock IS 'Who holds the advisory lock on a destination: means nothing unless backend_pid holds it in pg_locks';
