-- Columns have the names of the members of the state that a row holds; stream_id holds its id.

-- part: columns
       project, name, number, profile, metadata, hidden_through, version, created_at, updated_at,
       deleted_at, deleted_version, hold;

-- name: upsert_users
INSERT INTO users SELECT * FROM json_populate_recordset(NULL::users, %s::json)
ON CONFLICT (stream_id) DO UPDATE
   SET profile = excluded.profile,
       metadata = excluded.metadata,
       hidden_through = excluded.hidden_through,
       version = excluded.version,
       updated_at = excluded.updated_at,
       deleted_at = excluded.deleted_at,
       deleted_version = excluded.deleted_version,
       hold = excluded.hold;

-- name: delete_users
-- They were purged.
DELETE FROM users
 USING json_to_recordset(%s::json) AS row (stream_id uuid)
 WHERE users.stream_id = row.stream_id;

-- name: find_hold
SELECT u.hold
  FROM names n
  JOIN users u USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = 'user' AND n.scope = '' AND n.name = %(name)s;

-- name: user_exists
-- By what has a name: messages of a stream that was purged may not be erased yet.
SELECT EXISTS (SELECT FROM sessions WHERE project = %(project)s AND user_id = %(name)s)
    OR EXISTS (SELECT FROM messages m JOIN names n USING (stream_id)
                WHERE m.project = %(project)s AND m.user_id = %(name)s);

-- name: get_user
SELECT stream_id AS id,
       -- here: columns
  FROM (SELECT stream_id
          FROM names
         WHERE project = %(project)s AND kind = 'user' AND scope = '' AND name = %(name)s) AS named
  JOIN users USING (stream_id);

-- part: weigh_rows
-- Rows are weighed as in eventlog/log/sql/log.sql.
SELECT *
  FROM (
       SELECT *, count(*) OVER () AS page_rows,
              sum(coalesce(pg_column_size(profile) * CASE WHEN pg_column_compression(profile) IS NULL THEN 1 ELSE 20 END, 0)
                  + coalesce(pg_column_size(metadata)
                             * CASE WHEN pg_column_compression(metadata) IS NULL THEN 1 ELSE 20 END, 0))
                  OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
         FROM (;

-- part: within_weight
              ) AS page
       ) AS page
 WHERE coalesce(weight_before, 0) < coalesce(%(weight_max)s::bigint, 9223372036854775807);

-- part: and_asked_for
   AND (%(metadata)s::jsonb IS NULL OR metadata::jsonb @> %(metadata)s::jsonb)
   AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
   AND (%(deleted)s::boolean IS NULL OR (deleted_at IS NOT NULL) = %(deleted)s);

-- name: list_users_oldest_first
-- here: weigh_rows
SELECT stream_id AS id,
       -- here: columns
  FROM users
 WHERE project = %(project)s
   AND number > coalesce(%(after)s::bigint, 0)
   -- here: and_asked_for
 ORDER BY number
 LIMIT %(limit)s
-- here: within_weight;

-- name: list_users_newest_first
-- here: weigh_rows
SELECT stream_id AS id,
       -- here: columns
  FROM users
 WHERE project = %(project)s
   AND number < coalesce(%(after)s::bigint, 9223372036854775807)
   -- here: and_asked_for
 ORDER BY number DESC
 LIMIT %(limit)s
-- here: within_weight;

-- name: find_users
-- Those called by one of the names, and shown by one of the display names; NULL asks for neither.
SELECT stream_id AS id,
       -- here: columns
  FROM users
 WHERE project = %(project)s AND deleted_at IS NULL
   AND (%(names)s::text[] IS NULL
        OR stream_id IN (SELECT n.stream_id FROM names n
                          WHERE n.project = %(project)s AND n.kind = 'user' AND n.scope = ''
                            AND n.name = ANY(%(names)s)))
   AND (%(display_names)s::text[] IS NULL OR profile ->> 'display_name' = ANY(%(display_names)s))
 ORDER BY number;
