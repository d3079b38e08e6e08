-- Columns have the names of the members of the state that a row holds; stream_id holds its id.

-- part: columns
       project, scope, name, number, metadata, message_count, hidden_through, version, created_at,
       updated_at, deleted_at, deleted_version, hold;

-- name: upsert_threads
INSERT INTO threads SELECT * FROM json_populate_recordset(NULL::threads, %s::json)
ON CONFLICT (stream_id) DO UPDATE
   SET name = excluded.name,
       metadata = excluded.metadata,
       message_count = excluded.message_count,
       hidden_through = excluded.hidden_through,
       version = excluded.version,
       updated_at = excluded.updated_at,
       deleted_at = excluded.deleted_at,
       deleted_version = excluded.deleted_version,
       hold = excluded.hold;

-- name: delete_threads
-- They were purged.
DELETE FROM threads
 USING json_to_recordset(%s::json) AS row (stream_id uuid)
 WHERE threads.stream_id = row.stream_id;

-- name: update_counts_of_threads
-- Only messages came or went: the row's other members need not travel again.
UPDATE threads
   SET message_count = row.message_count, version = row.version, updated_at = row.updated_at
  FROM json_to_recordset(%s::json) AS row (
       stream_id uuid, message_count bigint, version bigint, updated_at timestamptz)
 WHERE threads.stream_id = row.stream_id;

-- name: get_thread
SELECT stream_id AS id,
       -- here: columns
  FROM (SELECT stream_id
          FROM names
         WHERE project = %(project)s AND kind = 'thread' AND scope = %(scope)s AND name = %(name)s) AS named
  JOIN threads USING (stream_id);

-- part: weigh_rows
-- Rows are weighed as in eventlog/log/sql/log.sql.
SELECT *
  FROM (
       SELECT *, count(*) OVER () AS page_rows,
              sum(pg_column_size(metadata) * CASE WHEN pg_column_compression(metadata) IS NULL THEN 1 ELSE 20 END)
                  OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
         FROM (;

-- part: within_weight
              ) AS page
       ) AS page
 WHERE coalesce(weight_before, 0) < coalesce(%(weight_max)s::bigint, 9223372036854775807);

-- part: and_asked_for
   AND (%(scope)s::text IS NULL OR scope = %(scope)s)
   AND (%(metadata)s::jsonb IS NULL OR metadata::jsonb @> %(metadata)s::jsonb)
   AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
   AND (%(deleted)s::boolean IS NULL OR (deleted_at IS NOT NULL) = %(deleted)s);

-- name: list_threads_oldest_first
-- here: weigh_rows
SELECT stream_id AS id,
       -- here: columns
  FROM threads
 WHERE project = %(project)s
   AND number > coalesce(%(after)s::bigint, 0)
   -- here: and_asked_for
 ORDER BY number
 LIMIT %(limit)s
-- here: within_weight;

-- name: list_threads_newest_first
-- here: weigh_rows
SELECT stream_id AS id,
       -- here: columns
  FROM threads
 WHERE project = %(project)s
   AND number < coalesce(%(after)s::bigint, 9223372036854775807)
   -- here: and_asked_for
 ORDER BY number DESC
 LIMIT %(limit)s
-- here: within_weight;
