-- name: select_log
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state::text,
       salt, link
  FROM stored_events
 ORDER BY originator_id, originator_version;

-- name: select_stream_links
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state::text,
       salt, link
  FROM stored_events
 WHERE originator_id = %s
 ORDER BY originator_version;
