-- One row a command: who did what, when, and with which outcome. `program` is its version, `destinations`, `overrides` and
-- `counts` are JSON; `finished` is NULL while it runs, and where it was cut off.
CREATE TABLE backup_event (
    id           TEXT PRIMARY KEY,
    command      TEXT NOT NULL,
    started      TEXT NOT NULL,
    who          TEXT NOT NULL,
    host         TEXT NOT NULL,
    program      TEXT NOT NULL,
    scope        TEXT NOT NULL,
    destinations TEXT NOT NULL,
    overrides    TEXT NOT NULL,
    finished     TEXT,
    exit_code    INTEGER,
    counts       TEXT
) STRICT;
CREATE INDEX backup_event_newest ON backup_event (started, id);
-- Runs from before there was this log are events too; who called them nobody knows any more.
INSERT INTO backup_event (id, command, started, who, host, program, scope, destinations, overrides, finished, exit_code, counts)
SELECT r.id, CASE WHEN json_valid(r.summary) THEN coalesce(json_extract(r.summary, '$.command'), 'run') ELSE 'run' END, r.started,
       '', r.host, '', '', json_array(d.name), '[]', r.finished, r.exit_code, '{}'
FROM backup_run r JOIN backup_destination d ON d.id = r.destination;
-- What the administrator says of an incident.
ALTER TABLE backup_incident ADD COLUMN note TEXT;
ALTER TABLE backup_incident ADD COLUMN note_by TEXT;
ALTER TABLE backup_incident ADD COLUMN note_at TEXT;
-- All of them, in the order of time.
CREATE INDEX backup_incident_found ON backup_incident (found_at, number);
-- What is known to be lost for good, or damaged for good: as long as nothing about it changes, no run raises the alarm for it.
CREATE TABLE backup_acknowledgement (
    number          INTEGER PRIMARY KEY,
    id              INTEGER NOT NULL,
    destination     INTEGER NOT NULL REFERENCES backup_destination,
    status          TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    copies          INTEGER NOT NULL,
    acknowledged_at TEXT NOT NULL,
    who             TEXT NOT NULL,
    reason          TEXT NOT NULL,
    ended_at        TEXT
) STRICT;
CREATE UNIQUE INDEX backup_acknowledgement_open ON backup_acknowledgement (destination, id) WHERE ended_at IS NULL;
