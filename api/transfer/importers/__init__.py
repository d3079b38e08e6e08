"""What people already have: one module per store, each telling its conversations in one common form.

``source`` is that form, ``recording`` records it (built on api.transfer.chat_import); ``envelope`` reads the
message that LangChain, Flowise and n8n store. A source is only ever read.
"""
