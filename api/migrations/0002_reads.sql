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
