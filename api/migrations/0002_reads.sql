-- Who read what, where RECOUNT_AUDIT_READS asks for it. parameters: those of the path.
CREATE TABLE reads (
    number     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    read_at    timestamptz NOT NULL,
    project    text        NOT NULL,
    actor      text        NOT NULL,
    request_id text        NOT NULL,
    method     text        NOT NULL,
    route      text        NOT NULL,
    parameters json        NOT NULL,
    status     integer     NOT NULL
);

CREATE INDEX reads_project ON reads (project, number);

-- Whom the reads of a stream that is being erased are looked for by.
CREATE INDEX reads_session ON reads ((parameters ->> 'session_id')) WHERE parameters ->> 'session_id' IS NOT NULL;
CREATE INDEX reads_thread ON reads ((parameters ->> 'thread_id')) WHERE parameters ->> 'thread_id' IS NOT NULL;
CREATE INDEX reads_user ON reads ((parameters ->> 'user_id')) WHERE parameters ->> 'user_id' IS NOT NULL;
