"""Imports from other stores: a module per store, each of which yields conversations in a common form.

``source`` defines that form and ``recording`` records it (built on api.transfer.chat_import). ``envelope``
reads the message that LangChain, Flowise and n8n store. A source is only ever read.
"""
