-- Facts about a database that must be known before anything is created or done in it (see
-- eventlog/postgres/preflight.py).

-- name: facts
SELECT current_setting('server_encoding'), current_setting('server_version_num')::int, current_schema(),
       current_setting('search_path'), current_user,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false);

-- name: missing_rights
SELECT t.name, array_agg(p.privilege ORDER BY p.place)
  FROM unnest(%(tables)s::text[]) AS t (name),
       unnest(%(privileges)s::text[]) WITH ORDINALITY AS p (privilege, place)
 WHERE to_regclass(quote_ident(t.name)) IS NOT NULL
   AND NOT has_table_privilege(to_regclass(quote_ident(t.name)), p.privilege)
 GROUP BY t.name
 ORDER BY t.name;

-- name: unreadable_sequences
SELECT count(*)
  FROM pg_depend AS d
  JOIN pg_class AS s ON s.oid = d.objid
 WHERE d.classid = 'pg_class'::regclass AND d.refobjid = to_regclass('stored_events')
   -- has_sequence_privilege raises for anything but a sequence, and conditions joined by AND have no order.
   AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'SELECT') ELSE false END;

-- name: backend
SELECT pg_backend_pid();

-- name: same_database
SELECT current_database(), pg_postmaster_start_time(), to_regclass('stored_events')::oid;
