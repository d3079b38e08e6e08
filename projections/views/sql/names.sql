-- name: insert_names
-- Streams began under these names. A name that is taken is a unique violation: someone was faster.
INSERT INTO names (project, kind, scope, name, stream_id)
SELECT project, kind, scope, name, stream_id
  FROM json_to_recordset(%s::json) AS row (project text, kind text, scope text, name text, stream_id uuid)
 ORDER BY project, kind, scope, name;

-- name: rename_streams
UPDATE names
   SET name = row.name
  FROM json_to_recordset(%s::json) AS row (stream_id uuid, name text)
 WHERE names.stream_id = row.stream_id;

-- name: delete_names
-- Their streams were purged: the names are free.
DELETE FROM names
 USING json_to_recordset(%s::json) AS row (stream_id uuid)
 WHERE names.stream_id = row.stream_id;

-- name: find_stream
SELECT stream_id
  FROM names
 WHERE project = %(project)s AND kind = %(kind)s AND scope = %(scope)s AND name = %(name)s;

-- name: stream_exists
SELECT EXISTS (SELECT FROM names WHERE stream_id = %s);

-- name: lock_counter
-- The last number drawn; the row stays locked until the transaction ends, so numbers have no gaps.
INSERT INTO counters AS counter (project, kind, last)
VALUES (%(project)s, %(kind)s, 0)
ON CONFLICT (project, kind) DO UPDATE SET last = counter.last
RETURNING last;

-- name: advance_counters
UPDATE counters
   SET last = greatest(counters.last, row.last)
  FROM json_to_recordset(%s::json) AS row (project text, kind text, last bigint)
 WHERE counters.project = row.project AND counters.kind = row.kind;
