"""LangFlux, which is Flowise: ``/api/v1/chatmessage…``, feedback, figures, export, and predictions.

A Flowise chatflow is the scope of a session; the session's name is the ``sessionId``, or the ``chatId`` if
there is none. The members of a chat message that have no counterpart in Recount, including its feedback,
are kept in the message's metadata under ``langflux``.

- ``routes``: chat messages, feedback, figures and export, and predictions
- ``shapes``: chat messages, feedback, the export and predictions in Flowise's shapes, and in Recount's
- ``rules``: the chat and session of a prediction, and the choice of messages by their ratings
- ``filters``: what the parameters of a request select, as Recount's filters
- ``queries``: the messages that a selection finds
- ``answers``: a question and its answer, by the responder that is configured
"""
