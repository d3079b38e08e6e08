-- name: count_sessions
SELECT count(*) FROM (SELECT FROM sessions LIMIT %(limit)s) AS counted;

-- name: count_threads
SELECT count(*) FROM (SELECT FROM threads LIMIT %(limit)s) AS counted;

-- name: count_users
SELECT count(*) FROM (SELECT FROM users LIMIT %(limit)s) AS counted;

-- name: count_functions
SELECT count(*) FROM (SELECT FROM functions LIMIT %(limit)s) AS counted;

-- name: count_states
SELECT count(*) FROM (SELECT FROM states LIMIT %(limit)s) AS counted;

-- name: count_messages
SELECT count(*) FROM (SELECT FROM messages LIMIT %(limit)s) AS counted;

-- name: count_events
SELECT count(*) FROM (SELECT FROM stored_events LIMIT %(limit)s) AS counted;

-- name: count_names
SELECT count(*) FROM (SELECT FROM names LIMIT %(limit)s) AS counted;

-- name: count_requests
SELECT count(*) FROM (SELECT FROM requests LIMIT %(limit)s) AS counted;

-- name: estimate
SELECT reltuples::bigint FROM pg_class WHERE oid = %(table)s::regclass;
