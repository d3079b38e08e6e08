-- name: messages_sqlite
SELECT rowid AS "_row", * FROM message ORDER BY flow_id, session_id, timestamp, rowid;

-- name: messages_postgres
SELECT * FROM message ORDER BY flow_id, session_id, timestamp, ctid;

-- name: count_messages
SELECT count(*) AS messages FROM message;

-- name: flows
SELECT id, name FROM flow;

-- name: users
SELECT id, username FROM "user";
