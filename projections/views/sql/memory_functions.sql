-- Columns have the names of the members of the state that a row holds; stream_id holds its id.

-- part: columns
       project, name, number, definition, metadata, version, created_at, updated_at, deleted_at,
       deleted_version, hold;

-- name: upsert_functions
INSERT INTO functions SELECT * FROM json_populate_recordset(NULL::functions, %s::json)
ON CONFLICT (stream_id) DO UPDATE
   SET definition = excluded.definition,
       metadata = excluded.metadata,
       version = excluded.version,
       updated_at = excluded.updated_at,
       deleted_at = excluded.deleted_at,
       deleted_version = excluded.deleted_version,
       hold = excluded.hold;

-- name: delete_functions
-- They were purged.
DELETE FROM functions
 USING json_to_recordset(%s::json) AS row (stream_id uuid)
 WHERE functions.stream_id = row.stream_id;

-- name: functions_named
SELECT stream_id AS id,
       -- here: columns
  FROM (SELECT stream_id
          FROM names
         WHERE project = %(project)s AND kind = 'function' AND scope = '' AND name = ANY(%(names)s::text[])) AS named
  JOIN functions USING (stream_id);

-- name: list_functions
-- All but one, which is listed before them.
SELECT stream_id AS id,
       -- here: columns
  FROM functions
 WHERE project = %(project)s AND deleted_at IS NULL
   AND number > coalesce(%(after)s::bigint, 0)
   AND name <> %(but)s
   AND (%(types)s::text[] IS NULL OR definition ->> 'type' = ANY(%(types)s))
 ORDER BY number
 LIMIT %(limit)s;
