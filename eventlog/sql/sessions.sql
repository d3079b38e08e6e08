-- name: describe_sessions
SELECT pid, application_name, host(client_addr), state,
       extract(epoch FROM clock_timestamp() - state_change)::float8
  FROM pg_stat_activity
 WHERE pid = ANY(%s::integer[])
 ORDER BY state_change;

-- name: select_blockers
SELECT pg_blocking_pids(%s);
