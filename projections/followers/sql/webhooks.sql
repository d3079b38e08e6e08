-- name: insert_deliveries
-- ON CONFLICT: what was made up for a webhook may have been set aside with a parked stream.
INSERT INTO deliveries (webhook_id, position)
SELECT w.id, e.position
  FROM unnest(%(positions)s::bigint[], %(projects)s::text[], %(topics)s::text[])
       AS e (position, project, topic)
  JOIN webhooks AS w
    ON w.project = e.project AND w.status = 'active' AND w.starts_after < e.position
   AND (w.types IS NULL OR e.topic = ANY(w.types))
    ON CONFLICT DO NOTHING;

-- name: insert_past_deliveries
INSERT INTO deliveries (webhook_id, position)
SELECT w.id, e.notification_id
  FROM webhooks AS w
  JOIN stored_events AS e ON e.project = w.project AND (w.types IS NULL OR e.topic = ANY(w.types))
 WHERE w.id = %(webhook_id)s AND e.notification_id > %(gt)s AND e.notification_id <= %(lte)s
    ON CONFLICT DO NOTHING;

-- name: insert_webhook
INSERT INTO webhooks (id, project, url, types, secret, starts_after)
VALUES (%(id)s, %(project)s, %(url)s, %(types)s, %(secret)s, %(starts_after)s);

-- part: select_webhooks
SELECT number, id, url, types, starts_after, status,
       (SELECT count(*) FROM deliveries WHERE webhook_id = webhooks.id AND status = 'pending'),
       next_attempt_at, created_at
  FROM webhooks;

-- name: select_webhook
-- here: select_webhooks
 WHERE project = %(project)s AND id = %(id)s;

-- name: count_webhooks
SELECT count(*) FROM webhooks WHERE project = %(project)s;

-- name: page_webhooks
-- here: select_webhooks
 WHERE project = %(project)s AND number > %(after)s
 ORDER BY number
 LIMIT %(limit)s;

-- name: page_webhooks_descending
-- here: select_webhooks
 WHERE project = %(project)s AND number < %(after)s
 ORDER BY number DESC
 LIMIT %(limit)s;

-- name: delete_webhook
DELETE FROM webhooks WHERE project = %(project)s AND id = %(id)s RETURNING id;

-- name: resume_webhook
-- Yields the last position that was written down for it, if it was not active. The one it stopped at
-- is always there: only what was sent is deleted.
UPDATE webhooks SET status = 'active', next_attempt_at = now()
 WHERE project = %(project)s AND id = %(id)s AND status <> 'active'
RETURNING coalesce((SELECT max(position) FROM deliveries WHERE webhook_id = webhooks.id), starts_after);

-- name: retry_head
-- With as many attempts as at first.
UPDATE deliveries SET attempts = 0
 WHERE webhook_id = %(webhook_id)s
   AND position = (SELECT min(position) FROM deliveries
                    WHERE webhook_id = %(webhook_id)s AND status = 'pending');

-- name: skip_head
UPDATE deliveries SET status = 'skipped'
 WHERE webhook_id = %(webhook_id)s
   AND position = (SELECT min(position) FROM deliveries
                    WHERE webhook_id = %(webhook_id)s AND status = 'pending');

-- part: select_deliveries
SELECT d.position, e.topic, e.recorded_at, d.status, d.attempts, d.response_status, d.error, d.attempted_at
  FROM deliveries AS d
  JOIN stored_events AS e ON e.notification_id = d.position;

-- name: page_deliveries
-- here: select_deliveries
 WHERE d.webhook_id = %(webhook_id)s AND d.position > %(after)s
 ORDER BY d.position
 LIMIT %(limit)s;

-- name: page_deliveries_descending
-- here: select_deliveries
 WHERE d.webhook_id = %(webhook_id)s AND d.position < %(after)s
 ORDER BY d.position DESC
 LIMIT %(limit)s;

-- name: select_due
-- Projects take turns, in each of two lanes: the slow one is of those whose receiver was slow last time. First
-- comes the first webhook of each project, then the second, with those under way; and where there is not room
-- for all, those that were served longest ago. Payloads are weighed without being read (see
-- eventlog/log/sql/log.sql).
WITH under_way AS (
     SELECT project, id = ANY(%(slow)s::text[]) AS is_slow, count(*)
       FROM webhooks
      WHERE id = ANY(%(but)s::text[])
      GROUP BY project, is_slow
), due AS (
     SELECT w.id, w.project, w.url, w.secret, w.next_attempt_at, d.position, d.attempts, lane.is_slow,
            coalesce(under_way.count, 0)
            + row_number() OVER (PARTITION BY w.project, lane.is_slow ORDER BY w.next_attempt_at, w.number)
              AS turn,
            coalesce(array_position(%(served)s::text[], w.project), 0) AS served
       FROM webhooks AS w
      CROSS JOIN LATERAL (SELECT w.id = ANY(%(slow)s::text[]) AS is_slow) AS lane
       LEFT JOIN under_way ON under_way.project = w.project AND under_way.is_slow = lane.is_slow
      CROSS JOIN LATERAL (
            SELECT position, attempts
              FROM deliveries
             WHERE webhook_id = w.id AND status = 'pending'
             ORDER BY position
             LIMIT 1
            ) AS d
      WHERE w.status = 'active' AND w.next_attempt_at <= now() AND w.id <> ALL(%(but)s::text[])
), ranked AS (
     SELECT *, row_number() OVER (PARTITION BY is_slow ORDER BY turn, served, next_attempt_at, id)
               + coalesce((SELECT sum(count) FROM under_way WHERE under_way.is_slow = due.is_slow), 0) AS place
       FROM due
      WHERE turn <= CASE WHEN is_slow THEN %(slow_each)s ELSE %(quick_each)s END
), chosen AS (
     SELECT ranked.id, url, secret, attempts, turn, served, next_attempt_at, e.*,
            sum(pg_column_size(e.state)
                * CASE WHEN pg_column_compression(e.state) IS NULL THEN 1 ELSE 20 END)
                OVER (ORDER BY turn, served, next_attempt_at, ranked.id
                      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
       FROM ranked
       JOIN stored_events AS e ON e.notification_id = ranked.position
      WHERE ranked.place <= CASE WHEN is_slow THEN %(slow_at_once)s ELSE %(quick_at_once)s END
)
SELECT id, url, secret, attempts, notification_id, originator_id, originator_version, chosen.project, topic,
       recorded_at, state::text
  FROM chosen
 WHERE coalesce(weight_before, 0) < %(weight_max)s
 ORDER BY turn, served, next_attempt_at, id;

-- name: record_attempt
-- The webhook is locked before its deliveries, as where it is deleted, or each could wait for the other.
WITH webhook AS (
     UPDATE webhooks
        SET status = coalesce(%(webhook_status)s, status),
            next_attempt_at = now() + make_interval(secs => %(delay)s)
      WHERE id = %(webhook_id)s
     RETURNING id
     )
UPDATE deliveries
   SET status = %(status)s, attempts = attempts + 1, response_status = %(response_status)s,
       error = %(error)s, attempted_at = now()
  FROM webhook
 WHERE webhook_id = webhook.id AND position = %(position)s;

-- name: delete_old_deliveries
-- Not those that go with their webhook just now.
DELETE FROM deliveries
 WHERE (webhook_id, position) IN (
       SELECT webhook_id, position
         FROM deliveries
        WHERE status <> 'pending' AND attempted_at < now() - make_interval(days => %(days)s)
          FOR UPDATE SKIP LOCKED);
