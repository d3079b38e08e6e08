-- name: begin
-- The next transaction, and those under way in this database of which only that much can be seen.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       coalesce(array_agg(virtualxid) FILTER (WHERE virtualxid IS NOT NULL), '{}')
  FROM pg_locks
  JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'virtualxid' AND granted AND pid <> pg_backend_pid() AND datname = current_database()
   AND NOT (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_read_all_stats', 'USAGE'));

-- name: older_transactions
-- Sessions whose snapshot is older, and see what was erased since; xids are compared in 32 bits.
SELECT (SELECT count(*)
          FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
           AND age(backend_xmin) > (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %(next)s))
     + (SELECT count(*)
          FROM pg_locks
         WHERE locktype = 'virtualxid' AND granted AND virtualxid = ANY(%(unseen)s::text[]));

-- name: tables
-- All that ever held what people said, and the statistics that the planner keeps of it.
SELECT nspname, relname
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE pg_class.oid = 'pg_catalog.pg_statistic'::regclass
    OR (relkind = 'r' AND relname = ANY(%s::text[])
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'stored_events'::regclass))
 ORDER BY nspname = 'pg_catalog', relname;
