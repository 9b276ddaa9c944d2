CREATE TABLE backup_incident (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mended_at   timestamptz(3) NOT NULL,
    run         text NOT NULL,
    id          bigint NOT NULL,
    role        text NOT NULL,
    version     integer NOT NULL,
    side        text NOT NULL CHECK (side IN ('store', 'destination')),
    place       text NOT NULL,
    key         text NOT NULL,
    found       text NOT NULL,
    detail      text NOT NULL,
    found_by    text NOT NULL,
    found_at    timestamptz(3) NOT NULL,
    mended_from text NOT NULL,
    evidence    text NOT NULL,
    size        bigint NOT NULL,
    sha256      bytea NOT NULL,
    kept        text
);
COMMENT ON TABLE backup_incident IS 'What was mended: one row an object';
COMMENT ON COLUMN backup_incident.place IS 'Driver id of the store, or name of the destination';
COMMENT ON COLUMN backup_incident.kept IS 'Where the bad bytes are; NULL where there were none';
CREATE INDEX backup_incident_of ON backup_incident (id, number);
