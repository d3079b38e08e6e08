-- name: find_home
SELECT nspname
  FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name, place)
  JOIN pg_namespace ON nspname = path.name
  JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = 'schema_migrations'
  JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'component' AND NOT attisdropped
 ORDER BY place
 LIMIT 1;

-- name: hidden
-- Select the store's tables that are not the first of their name in the search path, and the schema that is.
SELECT pg_class.relname, other.relnamespace::regnamespace::text
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
  JOIN pg_class AS other ON other.oid = to_regclass(pg_class.relname)
 WHERE nspname = %(home)s AND pg_class.relname = ANY(%(tables)s::text[]) AND other.oid <> pg_class.oid
 ORDER BY 1;

-- name: taken
SELECT current_schema(), relname FROM pg_class
 WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname = ANY(%s::text[])
 ORDER BY relname;

-- name: create_in
SELECT set_config('search_path', quote_ident(%s) || ', ' || current_setting('search_path'), true);
