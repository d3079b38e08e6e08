-- name: try_lock
SELECT pg_try_advisory_xact_lock(%s);

-- name: insert_checkpoint
INSERT INTO checkpoints (position, events, root, digest) VALUES (%s, %s, %s, %s);

-- name: select_last_checkpoint
SELECT position, events, root, digest FROM checkpoints ORDER BY position DESC LIMIT 1;

-- name: select_checkpoints
SELECT position, events, root, digest FROM checkpoints ORDER BY position;

-- name: select_checkpoint_over
-- The first that covers a position, with the digest before it.
SELECT position, events, root, digest,
       (SELECT digest FROM checkpoints AS before WHERE before.position < this.position
         ORDER BY position DESC LIMIT 1)
  FROM checkpoints AS this
 WHERE position >= %s
 ORDER BY position
 LIMIT 1;

-- name: select_leaves
SELECT notification_id, link
  FROM stored_events
 WHERE notification_id > %s AND notification_id <= %s
 ORDER BY notification_id
 LIMIT %s;
