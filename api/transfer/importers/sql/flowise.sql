-- The first schema had neither chatId nor sessionId; a chatflow was one conversation.

-- name: messages_sqlite
SELECT rowid AS "_row", * FROM chat_message
 ORDER BY "chatflowid", coalesce(nullif("sessionId", ''), "chatId"), "createdDate", rowid;

-- name: messages_postgres
SELECT * FROM chat_message
 ORDER BY "chatflowid", coalesce(nullif("sessionId", ''), "chatId"), "createdDate", ctid;

-- name: first_messages_sqlite
SELECT rowid AS "_row", * FROM chat_message ORDER BY "chatflowid", "createdDate", rowid;

-- name: first_messages_postgres
SELECT * FROM chat_message ORDER BY "chatflowid", "createdDate", ctid;

-- name: count_messages
SELECT count(*) AS messages FROM chat_message;

-- name: feedback
SELECT * FROM chat_message_feedback ORDER BY "createdDate";

-- name: flows
SELECT id, name FROM chat_flow;
