-- name: describe_sessions
SELECT pid, application_name, host(client_addr), state,
       extract(epoch FROM clock_timestamp() - state_change)::float8
  FROM pg_stat_activity
 WHERE pid = ANY(%s::integer[])
 ORDER BY state_change;

-- name: end_standing_still
-- End sessions that are "active" and wait for their client: PostgreSQL has no limit for that (see
-- eventlog.postgres.sessions).
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE pid = ANY(%s::integer[]) AND usename = current_user AND application_name = %s
   AND state = 'active' AND wait_event = 'ClientRead';

-- name: select_blockers
SELECT pg_blocking_pids(%s);
