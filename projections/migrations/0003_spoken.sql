-- What was said last: in a session, and in all sessions of a scope or of a name.

CREATE INDEX messages_spoken ON messages (stream_id, (coalesce(said_at, recorded_at)), version);
CREATE INDEX names_named ON names (project, kind, name);
