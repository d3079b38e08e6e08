-- name: put_functions
INSERT INTO functions (
       stream_id, project, name, number, definition, metadata,
       version, created_at, updated_at, deleted_at, deleted_version, hold)
SELECT stream_id, project, name, number, definition, metadata,
       version, created_at, updated_at, deleted_at, deleted_version, hold
  FROM json_to_recordset(%s::json) AS row (
       stream_id uuid, project text, name text, number bigint, definition json,
       metadata json, version bigint,
       created_at timestamptz, updated_at timestamptz, deleted_at timestamptz,
       deleted_version bigint, hold text)
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
SELECT f.stream_id AS id, f.project, f.name, f.number, f.definition, f.metadata,
       f.version, f.created_at, f.updated_at, f.deleted_at, f.deleted_version, f.hold
  FROM names n
  JOIN functions f USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = 'function' AND n.scope = ''
   AND n.name = ANY(%(names)s::text[]);

-- name: list_functions
-- All but one, which is listed before them.
SELECT stream_id AS id, project, name, number, definition, metadata,
       version, created_at, updated_at, deleted_at, deleted_version, hold
  FROM functions
 WHERE project = %(project)s AND deleted_at IS NULL
   AND number > coalesce(%(after)s::bigint, 0)
   AND name <> %(but)s
   AND (%(types)s::text[] IS NULL OR definition ->> 'type' = ANY(%(types)s))
 ORDER BY number
 LIMIT %(limit)s;
