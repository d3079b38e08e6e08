-- name: try_lock
SELECT pg_try_advisory_xact_lock(%s, 'stored_events'::regclass::oid::int);

-- name: insert_checkpoint
INSERT INTO checkpoints (position, events, root, digest, epoch) VALUES (%s, %s, %s, %s, %s);

-- name: select_last_checkpoint
SELECT epoch, position, events, root, digest FROM checkpoints ORDER BY position DESC LIMIT 1;

-- name: select_checkpoints
SELECT epoch, position, events, root, digest FROM checkpoints ORDER BY position;

-- name: select_checkpoint_over
-- Select the first checkpoint that covers a position, with the position and digest of the one before it.
SELECT this.epoch, this.position, this.events, this.root, this.digest, coalesce(before.position, -9223372036854775808), before.digest
  FROM checkpoints AS this
  LEFT JOIN LATERAL (
       SELECT position, digest FROM checkpoints WHERE position < this.position
        ORDER BY position DESC LIMIT 1
       ) AS before ON true
 WHERE this.position >= %s
 ORDER BY this.position
 LIMIT 1;

-- name: select_leaves
SELECT notification_id, link
  FROM stored_events
 WHERE notification_id > %s AND notification_id <= %s
 ORDER BY notification_id
 LIMIT %s;
