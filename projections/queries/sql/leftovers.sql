-- name: tables_by_stream
-- Every table of the store's schema with rows of streams, but those that only name streams not handled.
SELECT relname
  FROM pg_class
  JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'stream_id' AND atttypid = 'uuid'::regtype
 WHERE relkind IN ('r', 'p') AND has_table_privilege(pg_class.oid, 'SELECT')
   AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'stored_events'::regclass)
   AND relname <> 'parked_streams' AND relname NOT LIKE '%set\_aside';
