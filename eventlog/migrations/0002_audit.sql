-- What an audit asks for that few events have in common. The rest (type, time) is looked at on the way
-- through a project's events in order.

-- What somebody did, in order.
CREATE INDEX stored_events_actor ON stored_events ((state ->> 'actor'), notification_id);

-- What one request recorded.
CREATE INDEX stored_events_request ON stored_events ((state ->> 'request_id'))
    WHERE state ->> 'request_id' IS NOT NULL;

-- What an event led to; most events come from a request, not from an event, and are not in it.
CREATE INDEX stored_events_causation ON stored_events ((state ->> 'causation_id'))
    WHERE state ->> 'causation_id' IS NOT NULL;
