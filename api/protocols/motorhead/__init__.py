"""Motorhead, the memory server of Metal: self-hosted, and the managed edition that wrapped each response.

Motorhead's messages have no ids and no times. A session's memory is its newest messages, a context that an
application or a model made of the older ones, and the tokens that this took. All but the messages is
in the session's metadata under ``motorhead``, as ``{"context": …, "tokens": …, "namespaces": {"": true}}``:
the namespaces are the listings that the session is in; the empty one is the listing without a name.
"""
