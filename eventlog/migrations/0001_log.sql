-- The log: every event of every stream, and nothing else that could not be made again.

CREATE TABLE stored_events (
    notification_id    bigint GENERATED ALWAYS AS IDENTITY,
    originator_id      uuid        NOT NULL,
    originator_version bigint      NOT NULL CHECK (originator_version > 0),
    project            text        NOT NULL,
    topic              text        NOT NULL,
    recorded_at        timestamptz NOT NULL,
    -- json, not jsonb: the text stays as it was written, so numbers of any size come back equal.
    state              json        NOT NULL,
    -- The stream's chain (see eventlog/integrity/chain.py). The salt is erased with the payload.
    salt               bytea,
    link               bytea       NOT NULL,
    CONSTRAINT stored_events_pkey PRIMARY KEY (originator_id, originator_version)
);

CREATE UNIQUE INDEX stored_events_position ON stored_events (notification_id);

-- One tenant's events in order, for audit and live streams.
CREATE INDEX stored_events_project ON stored_events (project, notification_id);

-- What happened to messages and conversations after they were said: few rows in a long stream,
-- so that a past state need not read every message.
CREATE INDEX stored_events_changes ON stored_events (originator_id, originator_version)
    WHERE topic NOT LIKE '%.message-added';

-- What says that something is to be erased: few events, looked for by whoever erases it.
CREATE INDEX stored_events_erasures ON stored_events (project, notification_id)
    WHERE topic LIKE '%.purged' OR topic LIKE '%.messages-erased';

-- A cache of aggregate states; may be emptied any time.
CREATE TABLE snapshots (
    originator_id      uuid   NOT NULL,
    originator_version bigint NOT NULL,
    topic              text   NOT NULL,
    state              json   NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);

-- What the log was at some moments (see eventlog/integrity/checkpoints.py).
CREATE TABLE checkpoints (
    position bigint      PRIMARY KEY,
    events   bigint      NOT NULL,
    root     bytea       NOT NULL,
    digest   bytea       NOT NULL,
    epoch    uuid        NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);

-- Which exported logs were taken in (see eventlog/archive.py), each named by its checksum. One that is
-- not finished has got as far as position, and nobody else writes to the log until it is.
CREATE TABLE log_imports (
    digest      bytea       PRIMARY KEY,
    exported_at timestamptz NOT NULL,
    position    bigint      NOT NULL,
    began_at    timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE UNIQUE INDEX log_imports_one_at_a_time ON log_imports ((true)) WHERE finished_at IS NULL;

-- Which history the positions belong to (see eventlog/log/epoch.py).
CREATE TABLE epochs (
    number         integer     PRIMARY KEY,
    id             uuid        NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    origin         text,
    shared_through bigint      NOT NULL,
    begins_after   bigint      NOT NULL,
    began_at       timestamptz NOT NULL DEFAULT now()
);

INSERT INTO epochs (number, shared_through, begins_after) VALUES (1, 0, 0);

-- Up to where the log was settled lately: one row, which reaches standbys after the events that it covers.
CREATE TABLE settled (
    position bigint NOT NULL
);

INSERT INTO settled (position) VALUES (0);
