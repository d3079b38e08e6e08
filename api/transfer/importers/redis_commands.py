"""Commands to a Redis, over its own protocol or over the HTTP of Upstash, and functions that read keys."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from recountdb.api.transfer.importers.source import SourceFailed, library

ANSWER_SECONDS_MAX = 60.0
KEYS_AT_ONCE = 500
ELEMENTS_AT_ONCE = 500

Commands = Callable[..., Any]
"""A function that sends a command, given as words, and returns the answer. Its texts are bytes or str."""


class RedisRefused(SourceFailed):
    """Redis understood a command and refused it."""


@contextmanager
def redis_commands(url: str) -> Iterator[Commands]:
    """Connect to the Redis at ``url``: redis://, rediss:// or unix://.

    Raises SourceFailed, and so do the commands.
    """
    redis = library("redis", extra="redis")
    try:
        client = redis.Redis.from_url(url, protocol=2, socket_timeout=ANSWER_SECONDS_MAX)
    except ValueError:
        raise SourceFailed("this is no address of a Redis: redis://host:6379/0") from None

    def send(*words: Any) -> Any:
        try:
            return client.execute_command(*words)
        except redis.exceptions.ResponseError:
            raise RedisRefused(f"the Redis refused {words[0]}") from None
        except redis.exceptions.AuthenticationError:
            raise SourceFailed("the Redis wants another password") from None
        except redis.exceptions.RedisError:
            raise SourceFailed("the Redis cannot be reached, or went away") from None

    try:
        send("PING")
        yield send
    finally:
        client.close()


@contextmanager
def upstash_commands(url: str, token: str) -> Iterator[Commands]:
    """Connect to the Redis behind an Upstash REST address. Raises SourceFailed, and so do the commands."""
    parts = urlsplit(url)
    kinds = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}
    if parts.scheme not in kinds or not parts.hostname:
        raise SourceFailed("this is no address of Upstash's: https://….upstash.io")
    connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=ANSWER_SECONDS_MAX)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Upstash-Encoding": "base64",  # without it, text that is not UTF-8 would come back changed
    }

    def send(*words: Any) -> Any:
        text = json.dumps([str(word) for word in words])
        try:
            status, body = _exchanged(connection, parts.path or "/", text, headers)
        except (OSError, http.client.HTTPException):
            raise SourceFailed("Upstash cannot be reached, or went away") from None
        if status in (401, 403):
            raise SourceFailed("Upstash wants another token")
        return _result_of(status, body, words[0])

    try:
        yield send
    finally:
        connection.close()


def _exchanged(
    connection: http.client.HTTPConnection, path: str, text: str, headers: dict[str, str]
) -> tuple[int, bytes]:
    """Return status and body of the answer. A connection that was closed while idle is reopened, once."""
    for is_last in (False, True):
        try:
            connection.request("POST", path, text, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            if is_last:
                raise
    raise AssertionError


def _result_of(status: int, body: bytes, command: str) -> Any:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status != http.HTTPStatus.OK or not isinstance(answer, dict) or "result" not in answer:
        raise RedisRefused(f"Upstash refused {command} ({status})")
    return _decoded(answer["result"])


def _decoded(result: Any) -> Any:
    """Return the result with each text decoded from base64. The simple answer OK is not encoded."""
    if isinstance(result, list):
        return [_decoded(one) for one in result]
    if isinstance(result, str) and result != "OK":
        return base64.b64decode(result)
    return result


def keys_like(send: Commands, pattern: str, kind: str) -> Iterator[str]:
    """Yield the keys of a type, each once. A key that is not UTF-8 belongs to others and is left out."""
    cursor, seen = "0", set()
    while True:
        cursor, keys = send("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_AT_ONCE, "TYPE", kind)
        cursor = text_of(cursor)
        for key in keys:
            try:
                name = text_of(key)
            except UnicodeDecodeError:
                continue
            if name not in seen:
                seen.add(name)
                yield name
        if cursor == "0":
            return


def oldest_first(send: Commands, key: str) -> list[bytes | str]:
    """Return a list's elements, oldest first.

    The newest is at the list's head. Pages are read from the tail, which a push does not move.
    """
    found: list[bytes | str] = []
    while True:
        end = -1 - len(found)
        page = send("LRANGE", key, end - ELEMENTS_AT_ONCE + 1, end)
        found += reversed(page)
        if len(page) < ELEMENTS_AT_ONCE:
            return found


def ttl_seconds(send: Commands, key: str) -> int | None:
    """Return how many seconds the key has to live, or None if it never expires."""
    milliseconds = int(send("PTTL", key))
    return None if milliseconds < 0 else milliseconds // 1000


def text_of(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)
