-- Members of domain.messages.MessageState, in their order.
-- part: message_columns
       m.stream_id, m.project, m.version, m.changed_version, m.message_id, m.role, m.content, m.name, m.user_id,
       m.said_at, m.tool_calls, m.tool_call_id, m.metadata, m.token_count, m.recorded_at, m.updated_at,
       m.deleted_at, m.deleted_version;

-- name: insert_messages
INSERT INTO messages SELECT * FROM json_populate_recordset(NULL::messages, %s::json);

-- name: change_messages
UPDATE messages
   SET role = row.role, content = row.content, name = row.name, user_id = row.user_id,
       tool_calls = row.tool_calls, tool_call_id = row.tool_call_id, metadata = row.metadata,
       token_count = row.token_count, updated_at = row.updated_at,
       changed_version = row.changed_version, deleted_at = row.deleted_at,
       deleted_version = row.deleted_version
  FROM json_populate_recordset(NULL::messages, %s::json) AS row
 WHERE messages.stream_id = row.stream_id AND messages.version = row.version;

-- name: delete_messages
-- They were erased.
DELETE FROM messages
 USING json_to_recordset(%s::json) AS row (stream_id uuid, version bigint)
 WHERE messages.stream_id = row.stream_id AND messages.version = row.version;

-- name: find_messages
-- Hidden ones too: a message id stays taken until it is purged.
SELECT
       -- here: message_columns
  FROM messages m
 WHERE m.stream_id = %(stream_id)s
   AND (m.message_id = ANY(%(ids)s::uuid[]) OR m.said_at = ANY(%(instants)s::timestamptz[]))
 ORDER BY m.version;

-- part: weigh_messages
-- Rows are weighed as in eventlog/log/sql/log.sql.
SELECT *
  FROM (
       SELECT *, count(*) OVER () AS page_rows,
              sum(coalesce(pg_column_size(content)
                           * CASE WHEN pg_column_compression(content) IS NULL THEN 1 ELSE 20 END, 0)
                  + coalesce(pg_column_size(tool_calls)
                             * CASE WHEN pg_column_compression(tool_calls) IS NULL THEN 1 ELSE 20 END, 0)
                  + coalesce(pg_column_size(metadata)
                             * CASE WHEN pg_column_compression(metadata) IS NULL THEN 1 ELSE 20 END, 0))
                  OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
         FROM (;

-- part: within_weight
              ) AS page
       ) AS page
 WHERE coalesce(weight_before, 0) < coalesce(%(weight_max)s::bigint, 9223372036854775807);

-- part: and_asked_for
   AND (%(role)s::text IS NULL OR role = %(role)s)
   AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
   AND (%(metadata)s::jsonb IS NULL OR metadata::jsonb @> %(metadata)s::jsonb)
   AND (%(since)s::timestamptz IS NULL OR coalesce(said_at, recorded_at) >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR coalesce(said_at, recorded_at) < %(until)s)
   AND (%(deleted)s::boolean IS NULL OR %(deleted)s = (
           deleted_version IS NOT NULL OR messages.version <= c.hidden_through
           OR c.deleted_at IS NOT NULL));

-- name: page_oldest_first
-- One row per message with its conversation's version; one row without a message for an empty page;
-- no row where there is no conversation (or a deleted one, unless deleted ones are asked for).
SELECT c.version, c.stream_id,
       -- here: message_columns
       , m.page_rows, m.weight_before
  FROM names n
  JOIN conversations c ON c.stream_id = n.stream_id AND c.kind = n.kind
  LEFT JOIN LATERAL (
-- here: weigh_messages
       SELECT *
         FROM messages
        WHERE stream_id = c.stream_id
          AND messages.version > greatest(
                  coalesce(%(after)s::bigint, 0),
                  CASE WHEN %(deleted)s::boolean IS FALSE THEN c.hidden_through ELSE 0 END)
          -- here: and_asked_for
        ORDER BY messages.version
        LIMIT %(limit)s
-- here: within_weight
       ) m ON true
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = %(scope)s AND n.name = %(name)s
   AND (c.deleted_at IS NULL OR %(deleted)s::boolean IS NOT FALSE)
 ORDER BY m.version;

-- name: page_newest_first
-- As page_oldest_first, backwards.
SELECT c.version, c.stream_id,
       -- here: message_columns
       , m.page_rows, m.weight_before
  FROM names n
  JOIN conversations c ON c.stream_id = n.stream_id AND c.kind = n.kind
  LEFT JOIN LATERAL (
-- here: weigh_messages
       SELECT *
         FROM messages
        WHERE stream_id = c.stream_id
          AND messages.version < coalesce(%(after)s::bigint, 9223372036854775807)
          AND messages.version > CASE WHEN %(deleted)s::boolean IS FALSE THEN c.hidden_through ELSE 0 END
          -- here: and_asked_for
        ORDER BY messages.version DESC
        LIMIT %(limit)s
-- here: within_weight
       ) m ON true
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = %(scope)s AND n.name = %(name)s
   AND (c.deleted_at IS NULL OR %(deleted)s::boolean IS NOT FALSE)
 ORDER BY m.version DESC;

-- name: messages_by_id
-- The live messages of a project with this id: one, unless a conversation was copied.
SELECT c.kind, c.scope, c.name,
       -- here: message_columns
  FROM messages m
  JOIN conversations c USING (stream_id)
 WHERE m.message_id = %(id)s AND c.project = %(project)s
   AND c.deleted_at IS NULL AND m.deleted_version IS NULL AND m.version > c.hidden_through
 ORDER BY m.stream_id;

-- name: message_in
-- A live message of one live conversation.
SELECT
       -- here: message_columns
  FROM names n
  JOIN conversations c ON c.stream_id = n.stream_id AND c.kind = n.kind
  JOIN messages m ON m.stream_id = c.stream_id
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = %(scope)s AND n.name = %(name)s
   AND m.message_id = %(id)s
   AND c.deleted_at IS NULL AND m.deleted_version IS NULL AND m.version > c.hidden_through;

-- part: weigh_whole
-- Lists that are told whole are weighed before they are read: all rows come if they weigh weight_max at most,
-- else only the first. They weigh what they have in bytes, or else as in eventlog/sql/log.sql.
SELECT *
  FROM (
       SELECT *,
              CASE WHEN %(is_exact)s
                   THEN sum(coalesce(octet_length(content::text), 0) + coalesce(octet_length(tool_calls::text), 0)
                            + coalesce(octet_length(metadata::text), 0)) OVER ()
                   ELSE sum(coalesce(pg_column_size(content)
                                     * CASE WHEN pg_column_compression(content) IS NULL THEN 1 ELSE 20 END, 0)
                            + coalesce(pg_column_size(tool_calls)
                                       * CASE WHEN pg_column_compression(tool_calls) IS NULL THEN 1 ELSE 20 END,
                                       0)
                            + coalesce(pg_column_size(metadata)
                                       * CASE WHEN pg_column_compression(metadata) IS NULL THEN 1 ELSE 20 END, 0))
                        OVER ()
              END AS weight,
              row_number() OVER () AS place
         FROM (;

-- part: if_light
              ) AS whole
       ) AS whole
 WHERE place = 1 OR weight <= coalesce(%(weight_max)s::bigint, 9223372036854775807);

-- name: numbered_page
-- Live messages of one conversation, each with how many there are; no row where there is none on the page.
-- here: weigh_whole
SELECT count(*) OVER (),
       -- here: message_columns
  FROM names n
  JOIN conversations c ON c.stream_id = n.stream_id AND c.kind = n.kind
  JOIN messages m ON m.stream_id = c.stream_id
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = %(scope)s AND n.name = %(name)s
   AND c.deleted_at IS NULL AND m.deleted_version IS NULL AND m.version > c.hidden_through
 ORDER BY m.version
OFFSET %(offset)s LIMIT %(limit)s
-- here: if_light
;

-- name: select_known_ids
-- Hidden ones too: they are taken until they are purged.
SELECT DISTINCT message_id
  FROM messages
 WHERE message_id = ANY(%(ids)s::uuid[]) AND project = %(project)s;

-- part: select_of_project
SELECT e.notification_id, c.kind, c.scope, c.name,
       -- here: message_columns
  FROM stored_events e
  JOIN messages m ON m.stream_id = e.originator_id AND m.version = e.originator_version
  JOIN conversations c ON c.stream_id = m.stream_id
 WHERE e.project = %(project)s;

-- part: and_of_project_asked_for
   AND (%(role)s::text IS NULL OR m.role = %(role)s)
   AND (%(user_id)s::text IS NULL OR m.user_id = %(user_id)s)
   AND (%(metadata)s::jsonb IS NULL OR m.metadata::jsonb @> %(metadata)s::jsonb)
   AND (%(since)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) < %(until)s)
   AND (%(deleted)s::boolean IS NULL OR %(deleted)s = (
           m.deleted_version IS NOT NULL OR m.version <= c.hidden_through OR c.deleted_at IS NOT NULL));

-- name: search_messages_oldest_first
-- Live messages of a project over all conversations, in the order of the log.
-- here: weigh_messages
-- here: select_of_project
   AND e.notification_id > coalesce(%(after)s::bigint, 0) AND e.notification_id <= %(settled)s
   -- here: and_of_project_asked_for
 ORDER BY e.notification_id
 LIMIT %(limit)s
-- here: within_weight;

-- name: search_messages_newest_first
-- As search_messages_oldest_first, backwards.
-- here: weigh_messages
-- here: select_of_project
   AND e.notification_id < coalesce(%(after)s::bigint, 9223372036854775807)
   AND e.notification_id <= %(settled)s
   -- here: and_of_project_asked_for
 ORDER BY e.notification_id DESC
 LIMIT %(limit)s
-- here: within_weight;
