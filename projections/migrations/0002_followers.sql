-- Followers of the log, and webhooks, which are the first of them.

-- position: everything up to here is handled, or set aside with its parked stream.
CREATE TABLE followers (
    name     text        PRIMARY KEY,
    position bigint      NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Streams with an event that a follower could not handle: the one at this version. That one and the
-- later ones, up to the follower's position, wait in the log.
CREATE TABLE parked_streams (
    follower  text        NOT NULL REFERENCES followers ON DELETE CASCADE,
    stream_id uuid        NOT NULL,
    version   bigint      NOT NULL,
    error     text        NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (follower, stream_id)
);

-- Where a project wants its events sent. types: NULL for all. starts_after: the position after which
-- it wants them. The secret signs what is sent, so it is kept as it is.
CREATE TABLE webhooks (
    id              text        PRIMARY KEY,
    number          bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    project         text        NOT NULL,
    url             text        NOT NULL,
    types           text[],
    secret          text        NOT NULL,
    starts_after    bigint      NOT NULL,
    status          text        NOT NULL DEFAULT 'active'
                                CHECK (status IN ('active', 'parked', 'disabled')),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX webhooks_project ON webhooks (project, number);

-- What is to be sent, and what became of it. The event itself stays in the log only.
CREATE TABLE deliveries (
    webhook_id      text        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    position        bigint      NOT NULL,
    status          text        NOT NULL DEFAULT 'pending'
                                CHECK (status IN ('pending', 'delivered', 'skipped')),
    attempts        integer     NOT NULL DEFAULT 0,
    response_status integer,
    error           text,
    attempted_at    timestamptz,
    PRIMARY KEY (webhook_id, position)
);

-- What is still to be sent, in order.
CREATE INDEX deliveries_pending ON deliveries (webhook_id, position) WHERE status = 'pending';

-- What requests with an idempotency key were answered that left no event. The answer to one that makes a
-- webhook holds its secret, as the webhook does.
CREATE TABLE answered_requests (
    project     text        NOT NULL,
    key         text        NOT NULL,
    fingerprint text        NOT NULL,
    answer      json,
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, key)
);

CREATE INDEX answered_requests_answered_at ON answered_requests (answered_at);
