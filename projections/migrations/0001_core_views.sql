-- The core views: rows made from the log in the transaction that appends, and from it again any time.

-- The last number given to a stream of a kind, so that numbers are dense. The row is locked by
-- whoever draws from it until the end of the transaction.
CREATE TABLE counters (
    project text   NOT NULL,
    kind    text   NOT NULL,
    last    bigint NOT NULL,
    PRIMARY KEY (project, kind)
);

-- How callers call a stream.
CREATE TABLE names (
    project   text NOT NULL,
    kind      text NOT NULL,
    scope     text NOT NULL,
    name      text NOT NULL,
    stream_id uuid NOT NULL UNIQUE,
    PRIMARY KEY (project, kind, scope, name)
);

CREATE TABLE sessions (
    stream_id       uuid        PRIMARY KEY,
    project         text        NOT NULL,
    scope           text        NOT NULL,
    name            text        NOT NULL,
    number          bigint      NOT NULL,
    user_id         text,
    origin          json,       -- of a fork: stream_id and version of the session it was taken from
    metadata        json,
    message_count   bigint      NOT NULL,
    hidden_through  bigint      NOT NULL,
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    deleted_version bigint,
    hold            text,       -- why it may not be purged
    UNIQUE (project, number)
) WITH (fillfactor = 70);  -- room on the page for the new version of a row at each append

CREATE INDEX sessions_user ON sessions (project, user_id, number) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_forks ON sessions (project) WHERE origin IS NOT NULL;
-- What may be purged: few are deleted at a time, or have messages that were deleted with them once.
CREATE INDEX sessions_deleted ON sessions (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX sessions_hidden ON sessions (stream_id) WHERE hidden_through > 0;
CREATE INDEX sessions_metadata ON sessions USING gin ((metadata::jsonb) jsonb_path_ops);

CREATE TABLE threads (
    stream_id       uuid        PRIMARY KEY,
    project         text        NOT NULL,
    scope           text        NOT NULL,
    name            text        NOT NULL,
    number          bigint      NOT NULL,
    metadata        json,
    message_count   bigint      NOT NULL,
    hidden_through  bigint      NOT NULL,
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    deleted_version bigint,
    hold            text,       -- why it may not be purged
    UNIQUE (project, number)
) WITH (fillfactor = 70);

CREATE INDEX threads_deleted ON threads (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX threads_hidden ON threads (stream_id) WHERE hidden_through > 0;
CREATE INDEX threads_metadata ON threads USING gin ((metadata::jsonb) jsonb_path_ops);

CREATE TABLE users (
    stream_id       uuid        PRIMARY KEY,
    project         text        NOT NULL,
    name            text        NOT NULL,
    number          bigint      NOT NULL,
    profile         json        NOT NULL,
    metadata        json,
    hidden_through  bigint      NOT NULL,
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    deleted_version bigint,
    hold            text,       -- why it may not be purged
    UNIQUE (project, number)
);

CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_metadata ON users USING gin ((metadata::jsonb) jsonb_path_ops);

-- What is to be remembered of users or threads.
CREATE TABLE functions (
    stream_id       uuid        PRIMARY KEY,
    project         text        NOT NULL,
    name            text        NOT NULL,
    number          bigint      NOT NULL,
    definition      json        NOT NULL,
    metadata        json,
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    deleted_version bigint,
    hold            text,       -- why it may not be purged
    UNIQUE (project, number)
);

CREATE INDEX functions_deleted ON functions (deleted_at) WHERE deleted_at IS NOT NULL;

-- The state documents of threads and users.
CREATE TABLE states (
    stream_id  uuid        NOT NULL,
    key        text,
    state      json,
    version    bigint      NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (stream_id, key)
);

-- version: that of the event that added the message, hence its place in the conversation.
-- said_at: as told by the caller; NULL where nobody said. recorded_at: when Recount got it.
CREATE TABLE messages (
    stream_id       uuid        NOT NULL,
    version         bigint      NOT NULL,
    project         text        NOT NULL,
    message_id      uuid        NOT NULL,
    role            text        NOT NULL,
    content         json,
    name            text,
    user_id         text,
    said_at         timestamptz,
    tool_calls      json,
    tool_call_id    text,
    metadata        json,
    token_count     bigint,
    recorded_at     timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    changed_version bigint      NOT NULL,
    deleted_at      timestamptz,
    deleted_version bigint,
    PRIMARY KEY (stream_id, version),
    UNIQUE (message_id, stream_id)
);

-- The words of what was said, for finding it: of a text, or of the texts among the parts. So much of it
-- that no message is too long for a tsvector.
CREATE FUNCTION words_in(content json) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF json_typeof(content) = 'string' THEN
        RETURN to_tsvector('simple', left(content #>> '{}', 100000));
    END IF;
    RETURN to_tsvector('simple', left(coalesce((
        SELECT string_agg(CASE json_typeof(part) WHEN 'string' THEN part #>> '{}' ELSE part ->> 'text' END, ' ')
          FROM json_array_elements(content) AS part), ''), 100000));
END
$$;

CREATE INDEX messages_said_at ON messages (stream_id, said_at) WHERE said_at IS NOT NULL;
CREATE INDEX messages_deleted ON messages (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX messages_user ON messages (project, user_id) WHERE user_id IS NOT NULL;

-- Sessions and threads alike, as far as their messages are concerned.
CREATE VIEW conversations AS
    SELECT 'session' AS kind, stream_id, project, scope, name, version, hidden_through, deleted_at,
           user_id, hold
      FROM sessions
     UNION ALL
    SELECT 'thread', stream_id, project, scope, name, version, hidden_through, deleted_at,
           NULL, hold
      FROM threads;

-- What each request with an idempotency key recorded.
CREATE TABLE requests (
    project       text   NOT NULL,
    key           text   NOT NULL,
    fingerprint   text   NOT NULL,
    kind          text   NOT NULL,
    stream_id     uuid   NOT NULL,
    first_version bigint NOT NULL,
    last_version  bigint NOT NULL,
    PRIMARY KEY (project, key)
);

CREATE INDEX requests_stream ON requests (stream_id);

-- By which version of each view its rows were made. built_at: when they were last rebuilt; NULL: never.
CREATE TABLE views (
    name     text    PRIMARY KEY,
    version  integer NOT NULL,
    built_at timestamptz
);

INSERT INTO views (name, version)
VALUES ('names', 1), ('sessions', 1), ('threads', 1), ('users', 1), ('functions', 1),
       ('states', 1), ('messages', 1), ('requests', 1);

-- Each rebuild, under way or over. process_id: of the connection that holds the lock meanwhile. error: why it
-- failed. One that has no end and is not under way was stopped.
CREATE TABLE rebuilds (
    number          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    process_id      integer     NOT NULL DEFAULT pg_backend_pid(),
    views           text[]      NOT NULL,
    is_rehearsal    boolean     NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    events          bigint,
    differences     bigint,
    locked_seconds  double precision,
    error           text
);
