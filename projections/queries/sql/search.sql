-- name: rank_messages
-- Live messages of one conversation, each with how alike its words are to those asked for (the cosine of
-- both sets of words), and the words themselves. Those that share none come last, the newest first.
WITH asked AS MATERIALIZED (
     SELECT tsvector_to_array(to_tsvector('simple', left(%(text)s, 10000))) AS lexemes,
            -- Any of the words will do. No lexeme has a blank in it.
            replace(plainto_tsquery('simple', left(%(text)s, 10000))::text, ' & ', ' | ')::tsquery AS query
), talk AS MATERIALIZED (
     SELECT c.stream_id, c.hidden_through
       FROM names n
       JOIN conversations c ON c.stream_id = n.stream_id AND c.kind = n.kind
      WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = %(scope)s AND n.name = %(name)s
        AND c.deleted_at IS NULL
), alike AS (
     SELECT m.version, words_in(m.content) AS words
       FROM messages m
      WHERE m.stream_id = (SELECT stream_id FROM talk)
        AND m.version > (SELECT hidden_through FROM talk) AND m.deleted_version IS NULL
        AND (%(since)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) >= %(since)s::timestamptz)
        AND (%(until)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) <= %(until)s::timestamptz)
        AND {where}
        AND words_in(m.content) @@ (SELECT query FROM asked)
), ranked AS (
     (SELECT version, words,
             (length(words) - length(ts_delete(words, asked.lexemes)))
             / sqrt(length(words)::float8 * cardinality(asked.lexemes)) AS score
        FROM alike CROSS JOIN asked
       ORDER BY score DESC, version DESC
       LIMIT %(limit)s)
     UNION ALL
     (SELECT m.version, coalesce(words_in(m.content), ''), 0
        FROM messages m
       WHERE m.stream_id = (SELECT stream_id FROM talk)
         AND m.version > (SELECT hidden_through FROM talk) AND m.deleted_version IS NULL
         AND (%(since)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) >= %(since)s::timestamptz)
         AND (%(until)s::timestamptz IS NULL OR coalesce(m.said_at, m.recorded_at) <= %(until)s::timestamptz)
         AND {where}
         AND (words_in(m.content) @@ (SELECT query FROM asked)) IS NOT TRUE
       ORDER BY m.version DESC
       LIMIT %(limit)s)
     ORDER BY score DESC, version DESC
     LIMIT %(limit)s
)
-- here: weigh_whole
SELECT ranked.score, tsvector_to_array(ranked.words),
       -- here: message_columns
  FROM ranked
  JOIN messages m ON m.stream_id = (SELECT stream_id FROM talk) AND m.version = ranked.version
 ORDER BY ranked.score DESC, ranked.version DESC
-- here: if_light
;

-- name: limit_time
-- To the end of the transaction: how long a search may take.
SELECT set_config('statement_timeout', %s, true);
