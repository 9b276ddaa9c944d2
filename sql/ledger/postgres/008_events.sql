-- One row a command: who did what, when, and with which outcome.
CREATE TABLE backup_event (
    id           text PRIMARY KEY,
    command      text NOT NULL,
    started      timestamptz(3) NOT NULL,
    who          text NOT NULL,
    host         text NOT NULL,
    program      text NOT NULL,
    scope        text NOT NULL,
    destinations text NOT NULL,
    overrides    text NOT NULL,
    finished     timestamptz(3),
    exit_code    smallint,
    counts       text
);
COMMENT ON TABLE backup_event IS 'The event log: one row a command, never changed after it ended';
COMMENT ON COLUMN backup_event.id IS 'Name of the command''s run';
COMMENT ON COLUMN backup_event.who IS 'User of the system';
COMMENT ON COLUMN backup_event.program IS 'Version of the program';
COMMENT ON COLUMN backup_event.scope IS 'What it was about, in words';
COMMENT ON COLUMN backup_event.destinations IS 'JSON array of their names';
COMMENT ON COLUMN backup_event.overrides IS 'JSON array of the brakes that were taken off';
COMMENT ON COLUMN backup_event.finished IS 'NULL: it is still running, or was cut off';
COMMENT ON COLUMN backup_event.counts IS 'JSON: what it found, or why it gave up';
CREATE INDEX backup_event_newest ON backup_event (started, id);
-- Runs from before there was this log are events too; who called them nobody knows any more.
INSERT INTO backup_event (id, command, started, who, host, program, scope, destinations, overrides, finished, exit_code, counts)
SELECT r.id, coalesce(substring(r.summary FROM '^\{"command":"([a-z]+)"'), 'run'), r.started, '', r.host, '', '',
       json_build_array(d.name)::text, '[]', r.finished, r.exit_code, '{}'
FROM backup_run r JOIN backup_destination d ON d.id = r.destination;
-- What the administrator says of an incident.
ALTER TABLE backup_incident
    ADD COLUMN note text,
    ADD COLUMN note_by text,
    ADD COLUMN note_at timestamptz(3);
-- All of them, in the order of time.
CREATE INDEX backup_incident_found ON backup_incident (found_at, number);
-- What is known to be lost for good, or damaged for good: as long as nothing about it changes, no run raises the alarm for it.
CREATE TABLE backup_acknowledgement (
    number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              bigint NOT NULL,
    destination     integer NOT NULL REFERENCES backup_destination,
    status          text NOT NULL,
    fingerprint     text NOT NULL,
    copies          integer NOT NULL,
    acknowledged_at timestamptz(3) NOT NULL,
    who             text NOT NULL,
    reason          text NOT NULL,
    ended_at        timestamptz(3)
);
COMMENT ON TABLE backup_acknowledgement IS 'Losses that the administrator has acknowledged';
COMMENT ON COLUMN backup_acknowledgement.copies IS 'Proved copies that the data file had then at this destination';
COMMENT ON COLUMN backup_acknowledgement.ended_at IS 'When something about the data file changed, so that it counts again; NULL: it has not';
CREATE UNIQUE INDEX backup_acknowledgement_open ON backup_acknowledgement (destination, id) WHERE ended_at IS NULL;
