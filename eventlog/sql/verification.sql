-- name: select_log
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state::text,
       salt, link
  FROM stored_events
 ORDER BY originator_id, originator_version;
