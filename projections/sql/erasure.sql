-- name: try_share
-- Not while the views are made again: they would be filled with what is just being erased.
SELECT pg_try_advisory_xact_lock_shared(%s, 'stored_events'::regclass::oid::int);

-- name: existing_tables
SELECT table_schema, table_name
  FROM information_schema.tables
 WHERE table_schema = ANY(%(schemas)s::text[]) AND table_name = ANY(%(tables)s::text[])
 ORDER BY table_schema, table_name;

-- name: look_into
-- For the rest of the transaction, tables are looked for in this schema first.
SELECT set_config('search_path', quote_ident(%s) || ', public', true);

-- name: delete_erased_messages
DELETE FROM messages WHERE stream_id = %(id)s AND version = ANY(%(versions)s::bigint[]);

-- name: delete_erased_requests
-- Those of which nothing is left.
DELETE FROM requests AS r
 WHERE r.stream_id = %(id)s
   AND EXISTS (SELECT FROM unnest(%(versions)s::bigint[]) AS erased
                WHERE erased BETWEEN r.first_version AND r.last_version)
   AND NOT EXISTS (SELECT FROM stored_events AS e
                    WHERE e.originator_id = r.stream_id AND e.salt IS NOT NULL
                      AND e.originator_version BETWEEN r.first_version AND r.last_version);

-- name: narrow_requests
-- To what is left of them, as a fold of the log has it.
UPDATE requests AS r
   SET first_version = left_over.first, last_version = left_over.last
  FROM (SELECT o.project, o.key, min(e.originator_version) AS first, max(e.originator_version) AS last
          FROM requests AS o
          JOIN stored_events AS e
            ON e.originator_id = o.stream_id AND e.salt IS NOT NULL
           AND e.originator_version BETWEEN o.first_version AND o.last_version
         WHERE o.stream_id = %(id)s
           AND EXISTS (SELECT FROM unnest(%(versions)s::bigint[]) AS erased
                        WHERE erased BETWEEN o.first_version AND o.last_version)
         GROUP BY o.project, o.key) AS left_over
 WHERE r.project = left_over.project AND r.key = left_over.key;

-- name: next_transaction
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint;

-- name: older_transactions
-- Sessions whose snapshot is older, and see what was erased since; xids are compared in 32 bits.
SELECT count(*)
  FROM pg_stat_activity
 WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
   AND age(backend_xmin) > (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %s);

-- name: scrub_tables
-- All that ever held what people said, and the statistics that the planner keeps of it.
SELECT n.nspname, c.relname
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r'
   AND (n.nspname IN ('public', 'recount_previous', 'recount_rebuild', 'recount_dropped')
        OR (n.nspname = 'pg_catalog' AND c.relname = 'pg_statistic'))
 ORDER BY n.nspname DESC, c.relname;
