-- name: select_deleted
-- Deleted before a time, and under no hold: neither of their own nor of whose they are.
SELECT one.kind, one.project, one.scope, one.name, one.stream_id, one.version,
       (SELECT count(*) FROM messages m WHERE m.stream_id = one.stream_id)
  FROM (SELECT kind, project, scope, name, stream_id, version, user_id, hold, deleted_at FROM conversations
         UNION ALL
        SELECT 'user', project, '', name, stream_id, version, name, hold, deleted_at FROM users
         UNION ALL
        SELECT 'function', project, '', name, stream_id, version, NULL, hold, deleted_at FROM functions) AS one
 WHERE one.deleted_at < %(before)s AND one.hold IS NULL AND one.stream_id > %(after)s
   AND (%(project)s::text IS NULL OR one.project = %(project)s)
   AND NOT EXISTS (
       SELECT FROM names n JOIN users u USING (stream_id)
        WHERE n.project = one.project AND n.kind = 'user' AND n.scope = '' AND n.name = one.user_id
          AND u.hold IS NOT NULL)
 ORDER BY one.stream_id
 LIMIT %(limit)s;

-- name: select_deleted_messages
-- Of one live conversation after the other: messages deleted before a time, by themselves or with it.
SELECT c.kind, c.project, c.scope, c.name, c.stream_id, c.version, gone.ids
  FROM (SELECT DISTINCT stream_id FROM messages WHERE deleted_at < %(before)s
         UNION
        SELECT stream_id FROM conversations WHERE hidden_through > 0) AS those
  JOIN conversations c USING (stream_id)
 CROSS JOIN LATERAL (
       SELECT array_agg(old.message_id) AS ids
         FROM (SELECT m.message_id
                 FROM messages m
                WHERE m.stream_id = c.stream_id
                  AND (m.deleted_at < %(before)s
                       OR (m.version <= c.hidden_through
                           AND (SELECT e.recorded_at FROM stored_events e
                                 WHERE e.originator_id = c.stream_id
                                   AND e.originator_version = c.hidden_through) < %(before)s))
                  AND NOT EXISTS (
                      SELECT FROM names n JOIN users u USING (stream_id)
                       WHERE n.project = c.project AND n.kind = 'user' AND n.scope = ''
                         AND n.name IN (m.user_id, c.user_id) AND u.hold IS NOT NULL)
                ORDER BY m.version) AS old) AS gone
 WHERE c.deleted_at IS NULL AND c.hold IS NULL AND c.stream_id > %(after)s
   AND (%(project)s::text IS NULL OR c.project = %(project)s)
   AND gone.ids IS NOT NULL
 ORDER BY c.stream_id
 LIMIT %(limit)s;

-- name: select_named
SELECT one.kind, one.project, one.scope, one.name, one.stream_id, one.version,
       (SELECT count(*) FROM messages m WHERE m.stream_id = one.stream_id)
  FROM names n
  JOIN (SELECT kind, project, scope, name, stream_id, version FROM conversations
         UNION ALL
        SELECT 'user', project, '', name, stream_id, version FROM users
         UNION ALL
        SELECT 'function', project, '', name, stream_id, version FROM functions) AS one USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = %(scope)s AND n.name = %(name)s;

-- name: select_owned
-- Sessions of a user in which nobody else spoke under an id of their own.
SELECT 'session', s.project, s.scope, s.name, s.stream_id, s.version,
       (SELECT count(*) FROM messages m WHERE m.stream_id = s.stream_id)
  FROM sessions s
 WHERE s.project = %(project)s AND s.user_id = %(name)s AND s.stream_id > %(after)s
   AND NOT EXISTS (SELECT FROM messages m
                    WHERE m.stream_id = s.stream_id AND m.user_id <> %(name)s)
 ORDER BY s.stream_id
 LIMIT %(limit)s;

-- name: select_said
-- What a user said in conversations that are not theirs alone: under their id, or as the user of a
-- session of theirs.
SELECT c.kind, c.project, c.scope, c.name, c.stream_id, c.version, said.ids
  FROM (SELECT DISTINCT stream_id FROM messages
         WHERE project = %(project)s AND user_id = %(name)s
         UNION
        SELECT stream_id FROM sessions
         WHERE project = %(project)s AND user_id = %(name)s) AS those
  JOIN conversations c USING (stream_id)
 CROSS JOIN LATERAL (
       SELECT array_agg(theirs.message_id) AS ids
         FROM (SELECT m.message_id
                 FROM messages m
                WHERE m.stream_id = c.stream_id
                  AND (m.user_id = %(name)s
                       OR (c.user_id = %(name)s AND m.user_id IS NULL AND m.role IN ('user', 'human')))
                ORDER BY m.version) AS theirs) AS said
 WHERE c.stream_id > %(after)s AND said.ids IS NOT NULL
   AND NOT (c.user_id IS NOT DISTINCT FROM %(name)s
            AND NOT EXISTS (SELECT FROM messages m
                             WHERE m.stream_id = c.stream_id AND m.user_id <> %(name)s))
 ORDER BY c.stream_id
 LIMIT %(limit)s;

-- name: select_versions
-- Of all events about some messages of a stream that are not erased.
SELECT version FROM messages WHERE stream_id = %(id)s AND message_id = ANY(%(ids)s::uuid[])
 UNION
SELECT originator_version
  FROM stored_events
 WHERE originator_id = %(id)s AND topic NOT LIKE '%%.message-added' AND salt IS NOT NULL
   AND state ->> 'message_id' = ANY(%(ids)s::uuid[]::text[]);

-- name: select_receipts
SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.recorded_at, e.state, e.link,
       e.notification_id <= coalesce((SELECT position FROM followers WHERE name = 'erasure'), 0)
  FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[]) AS place (id, version)
  JOIN stored_events AS e
    ON e.originator_id = place.id AND e.originator_version = place.version
 ORDER BY e.notification_id;

-- name: page_receipts
SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.recorded_at, e.state, e.link,
       e.notification_id <= coalesce((SELECT position FROM followers WHERE name = 'erasure'), 0)
  FROM stored_events AS e
 WHERE e.project = %(project)s
   AND (e.topic LIKE '%%.purged' OR e.topic LIKE '%%.messages-erased')
   AND e.notification_id > %(gt)s AND e.notification_id < %(lt)s
 ORDER BY e.notification_id
 LIMIT %(limit)s;

-- name: page_receipts_descending
SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.recorded_at, e.state, e.link,
       e.notification_id <= coalesce((SELECT position FROM followers WHERE name = 'erasure'), 0)
  FROM stored_events AS e
 WHERE e.project = %(project)s
   AND (e.topic LIKE '%%.purged' OR e.topic LIKE '%%.messages-erased')
   AND e.notification_id > %(gt)s AND e.notification_id < %(lt)s
 ORDER BY e.notification_id DESC
 LIMIT %(limit)s;
