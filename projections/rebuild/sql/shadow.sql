-- name: lock_shadow
SELECT pg_advisory_lock(%s, 'stored_events'::regclass::oid::int);

-- name: unlock_shadow
SELECT pg_advisory_unlock(%s, 'stored_events'::regclass::oid::int);

-- name: end_forerunners
-- Not those who only look, as a dump or the progress of a rebuild does.
SELECT pg_terminate_backend(pid, 5000)
  FROM (SELECT DISTINCT pid
          FROM pg_locks
         WHERE relation = to_regclass('rebuild_units') AND pid <> pg_backend_pid()
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND mode IN ('RowShareLock', 'RowExclusiveLock')) AS forerunners;

-- name: cut_units
-- Ranges of streams with about so many events each. Whole streams: one that is longer is a unit alone.
INSERT INTO rebuild_units (number, low, high, events)
SELECT row_number() OVER (ORDER BY share), min_id, max_id, events
  FROM (
       SELECT share, (array_agg(id ORDER BY id))[1] AS min_id, (array_agg(id ORDER BY id DESC))[1] AS max_id,
              sum(count) AS events
         FROM (
              SELECT id, count, div(sum(count) OVER (ORDER BY id) - count, %(size)s) AS share
                FROM (SELECT originator_id AS id, count(*) AS count FROM stored_events GROUP BY 1) AS streams
              ) AS shares
        GROUP BY share
       ) AS ranges;

-- name: make_notes
-- progress: up to which position the log was caught up with.
CREATE TABLE rebuild_progress (position bigint NOT NULL);

CREATE TABLE rebuild_units (
    number  bigint PRIMARY KEY,
    low     uuid   NOT NULL,
    high    uuid   NOT NULL,
    events  bigint NOT NULL,
    done_at timestamptz
);

CREATE TABLE rebuild_views (LIKE views);

CREATE TABLE rebuild_set_aside (
    stream_id uuid   PRIMARY KEY,
    version   bigint NOT NULL,
    reason    text   NOT NULL
);

-- name: begin_progress
INSERT INTO rebuild_progress VALUES (%s);

-- name: key_counters
ALTER TABLE rebuild_counters ADD CONSTRAINT rebuild_counters_pkey PRIMARY KEY (project, kind);

-- name: note_views
INSERT INTO rebuild_views (name, version, built_at)
SELECT name, version, now() FROM unnest(%s::text[], %s::integer[]) AS view (name, version);

-- name: quarantine_stream
INSERT INTO rebuild_set_aside VALUES (%s, %s, %s) ON CONFLICT (stream_id) DO NOTHING;

-- name: select_quarantine
SELECT stream_id, reason FROM rebuild_set_aside ORDER BY stream_id;

-- name: keep_counters
INSERT INTO rebuild_counters AS counter (project, kind, last)
SELECT project, kind, last FROM counters ORDER BY project, kind
    ON CONFLICT (project, kind) DO UPDATE SET last = greatest(counter.last, excluded.last);

-- name: exchange_versions
-- Both see the rows as they were before.
WITH putting_aside AS (
     UPDATE rebuild_views AS made
        SET version = live.version, built_at = live.built_at
       FROM views AS live
      WHERE live.name = made.name
)
UPDATE views AS live
   SET version = made.version, built_at = made.built_at
  FROM rebuild_views AS made
 WHERE made.name = live.name;

-- name: wait_for_locks
-- How long, at most, to the end of the transaction.
SELECT set_config('lock_timeout', %s, true);

-- name: views_on
-- Views that read one of these tables, as far as this role may replace them.
SELECT DISTINCT nspname, relname, pg_get_viewdef(pg_class.oid)
  FROM pg_depend
  JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
  JOIN pg_class ON pg_class.oid = ev_class AND relkind = 'v' AND pg_has_role(relowner, 'USAGE')
  JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE pg_depend.classid = 'pg_rewrite'::regclass
   AND refclassid = 'pg_class'::regclass AND refobjid = ANY(%s::text[]::regclass[]);
