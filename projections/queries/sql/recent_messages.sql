-- Time goes before the order of the log here: messages come in the order they were said, and where nobody
-- told when that was, recorded. Each session's newest are found by the index messages_spoken; those of many
-- sessions together are among the newest of the sessions that were spoken in last.

-- part: with_sessions_asked
WITH sessions_asked AS (
SELECT s.stream_id, s.scope, s.name, s.hidden_through
  FROM names n
  JOIN sessions s USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = 'session' AND s.deleted_at IS NULL
   AND (%(scope)s::text IS NULL OR n.scope = %(scope)s)
   AND (%(unless_scope)s::text IS NULL OR n.scope !~ %(unless_scope)s)
   AND (%(session)s::text IS NULL OR n.name = %(session)s)
);

-- part: and_asked_for
   AND (%(role)s::text IS NULL OR m.role = %(role)s)
   AND (%(message_id)s::uuid IS NULL OR m.message_id = %(message_id)s)
   AND (%(user_id)s::text IS NULL OR m.user_id = %(user_id)s)
   AND (%(owner)s::text IS NULL OR coalesce(m.user_id = %(owner)s, true))
   AND (%(users)s::text[] IS NULL OR m.user_id = ANY(%(users)s::text[]))
   AND (%(metadata)s::jsonb IS NULL OR m.metadata::jsonb @> %(metadata)s::jsonb)
   AND (%(without)s::jsonb IS NULL
        OR NOT coalesce(m.metadata::jsonb @> %(without)s::jsonb, false))
   AND (%(label)s::text[] IS NULL
        OR coalesce(m.metadata #>> %(label_path)s::text[] = ANY(%(label)s::text[]),
                    %(label_roles)s::text[] IS NULL OR m.role = ANY(%(label_roles)s::text[])))
   AND (%(speaker)s::text IS NULL
        OR coalesce(m.name = %(speaker)s, m.role = ANY(%(speaker_roles)s::text[])))
   AND (%(since)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) < %(until)s);

-- name: newest_messages
-- here: with_sessions_asked
, spoken AS (
SELECT a.stream_id, a.scope, a.name, a.hidden_through
  FROM sessions_asked a
 CROSS JOIN LATERAL (
       SELECT coalesce(m.said_at, m.recorded_at) AS said_at, m.recorded_at, m.version
         FROM messages m
        WHERE m.stream_id = a.stream_id AND m.version > a.hidden_through AND m.deleted_version IS NULL
          -- here: and_asked_for
        ORDER BY coalesce(m.said_at, m.recorded_at) DESC, m.version DESC
        LIMIT 1
       ) AS last
 ORDER BY last.said_at DESC, last.recorded_at DESC, a.stream_id DESC
 LIMIT %(limit)s::bigint + %(offset)s::bigint
)
-- here: weigh_whole
SELECT 'session', s.scope, s.name,
       -- here: message_columns
  FROM spoken s
 CROSS JOIN LATERAL (
       SELECT *
         FROM messages m
        WHERE m.stream_id = s.stream_id AND m.version > s.hidden_through AND m.deleted_version IS NULL
          -- here: and_asked_for
        ORDER BY coalesce(m.said_at, m.recorded_at) DESC, m.version DESC
        LIMIT %(limit)s::bigint + %(offset)s::bigint
       ) AS m
 ORDER BY coalesce(m.said_at, m.recorded_at) DESC, m.recorded_at DESC, m.stream_id DESC, m.version DESC
 LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint
-- here: if_light
;

-- name: latest_sessions
-- One of each name, the one that was spoken in last.
-- here: with_sessions_asked
, spoken AS (
SELECT DISTINCT ON (a.name) a.stream_id, a.scope, a.name, last.said_at, last.recorded_at
  FROM sessions_asked a
 CROSS JOIN LATERAL (
       SELECT coalesce(m.said_at, m.recorded_at) AS said_at, m.recorded_at
         FROM messages m
        WHERE m.stream_id = a.stream_id AND m.version > a.hidden_through AND m.deleted_version IS NULL
          -- here: and_asked_for
        ORDER BY coalesce(m.said_at, m.recorded_at) DESC, m.version DESC
        LIMIT 1
       ) AS last
 WHERE %(unless_begins)s::text IS NULL OR NOT starts_with(a.name, %(unless_begins)s)
 ORDER BY a.name, last.said_at DESC, last.recorded_at DESC, a.stream_id DESC
)
SELECT scope, name, said_at
  FROM spoken
 ORDER BY said_at DESC, recorded_at DESC, stream_id DESC
 LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: scopes_spoken_in
-- Of the live sessions of a name, those in which something is to be seen.
SELECT s.scope
  FROM names n
  JOIN sessions s USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = 'session' AND n.name = %(name)s AND s.deleted_at IS NULL
   AND EXISTS (SELECT FROM messages m
                WHERE m.stream_id = s.stream_id AND m.version > s.hidden_through
                  AND m.deleted_version IS NULL)
 ORDER BY s.scope;
