-- Who may call. A key is a long random text, so its hash needs no salt; the key itself is not kept.

CREATE TABLE api_keys (
    id         text        PRIMARY KEY,
    hash       bytea       NOT NULL UNIQUE,
    project    text        NOT NULL,
    scopes     text[]      NOT NULL,
    label      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
