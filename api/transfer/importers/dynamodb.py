"""DynamoDB tables of LangChain, in Python and JavaScript, and Flowise: one item for each conversation.

An item holds the whole history as a list, oldest first, without ids and times.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from time import time
from typing import Any

from recountdb.api.transfer.cleaning import loads, read_decimal
from recountdb.api.transfer.importers import envelope
from recountdb.api.transfer.importers.source import (
    Entry,
    Source,
    SourceFailed,
    Talk,
    Unreadable,
    entry_of,
    given,
    library,
)

KIND = "dynamodb"
EXPIRY = "expireAt"
ENCRYPTED = "*amzn-ddb-map-desc*"

Item = dict[str, Any]
"""The values of an item by attribute, in the form that the service gives, as {"S": "text"}."""


@dataclass(frozen=True)
class Wanted:
    """The items to import. ``messages_attribute`` None means whichever attribute holds messages.

    Empty ``ids`` mean all items of the table. With ``expired``, items that have expired and that DynamoDB
    has not deleted yet are imported, too.
    """

    table: str
    messages_attribute: str | None = None
    ids: Sequence[str] = ()
    expired: bool = False


@dataclass(frozen=True)
class Key:
    partition: str
    sort: str | None


def open_client(endpoint: str | None, region: str | None) -> Any:
    """Return a client. Credentials, and a region of None, are found as the AWS tools find them."""
    boto3 = library("boto3", extra="dynamodb")
    with translate_aws_errors():
        return boto3.client("dynamodb", endpoint_url=endpoint, region_name=region)


@contextmanager
def translate_aws_errors() -> Iterator[None]:
    """Raise the library's errors as SourceFailed, in our own words, for its own may quote content."""
    exceptions = library("botocore.exceptions", extra="dynamodb")
    try:
        yield
    except exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        raise SourceFailed(f"DynamoDB refused: {code}") from None
    except exceptions.BotoCoreError as error:
        raise SourceFailed(f"DynamoDB cannot be reached ({type(error).__name__})") from None


def read(client: Any, wanted: Wanted) -> Source:
    """Return the table as a source. Raises SourceFailed where it cannot be read."""
    with translate_aws_errors():
        key = key_of(client, wanted.table)
    return Source(_talks(client, key, wanted))


def key_of(client: Any, table: str) -> Key:
    schema = client.describe_table(TableName=table)["Table"]["KeySchema"]
    names = {part["KeyType"]: part["AttributeName"] for part in schema}
    return Key(names["HASH"], names.get("RANGE"))


def _talks(client: Any, key: Key, wanted: Wanted) -> Iterator[Talk]:
    for item in _items(client, wanted.table):
        try:
            name = _name_of(item, key)
        except Unreadable as reason:
            yield Talk(KIND, wanted.table, "", [], refusal=f"its key {reason}")
            continue
        if (wanted.ids and name not in wanted.ids) or (_is_expired(item) and not wanted.expired):
            continue
        attribute = wanted.messages_attribute or _messages_attribute_of(item)
        if attribute is not None or ENCRYPTED in item:
            yield _talk(item, name, attribute, wanted.table)


def _items(client: Any, table: str) -> Iterator[Item]:
    """Yield all items of the table, fetched page by page with consistent reads."""
    start: dict[str, Any] = {}
    while True:
        with translate_aws_errors():
            page = client.scan(TableName=table, ConsistentRead=True, **start)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _messages_attribute_of(item: Item) -> str | None:
    """Return the attribute that is a list of messages, or None where the item is something else."""
    for name, value in item.items():
        if any(envelope.is_envelope(to_plain_value(one)) for one in value.get("L", ())):
            return name
    return None


def _name_of(item: Item, key: Key) -> str:
    """Return the partition key and, unless it is only the attribute's own name, the sort key."""
    partition = str(to_plain_value(item[key.partition]))
    if key.sort is None or (sort := str(to_plain_value(item[key.sort]))) == key.sort:
        return partition
    return f"{partition}#{sort}"


def _is_expired(item: Item) -> bool:
    seconds = _expiry_of(item)
    return seconds is not None and seconds < time()


def _expiry_of(item: Item) -> int | float | None:
    seconds = _number(item[EXPIRY]["N"]) if "N" in item.get(EXPIRY, {}) else None
    return None if isinstance(seconds, str) else seconds


def _talk(item: Item, name: str, attribute: str | None, table: str) -> Talk:
    if ENCRYPTED in item:
        refusal = "its messages are encrypted by the program that wrote them: export them with that program"
        return Talk(KIND, table, name, [], refusal=refusal)
    elements = item.get(attribute or "", {}).get("L")
    if elements is None:
        return Talk(KIND, table, name, [], refusal="it has no list of messages under that attribute")
    entries = [entry_of(place, partial(_entry, place, element)) for place, element in enumerate(elements)]
    details = given({"messages_attribute": attribute, "expires_at": _expiry_of(item)})
    return Talk(KIND, table, name, entries, details=details)


def _entry(position: int, element: dict[str, Any]) -> Entry:
    message = to_plain_value(element)
    if isinstance(message, dict) and isinstance(extra := message.get("additional_kwargs"), str):
        message = message | {"additional_kwargs": _unpacked(extra)}
    said, details, warnings = envelope.read(message)
    return Entry(position, said, details=details, warnings=warnings)


def _unpacked(text: str) -> Any:
    """Return the value that LangChain JS stores as JSON in a text, or the text if it is not JSON."""
    try:
        return loads(text)
    except ValueError:
        return text


def to_plain_value(value: dict[str, Any]) -> Any:
    """Return an attribute's value as JSON would have it."""
    ((kind, held),) = value.items()
    match kind:
        case "S" | "BOOL":
            return held
        case "N":
            return _number(held)
        case "NULL":
            return None
        case "L":
            return [to_plain_value(one) for one in held]
        case "M":
            return {name: to_plain_value(one) for name, one in held.items()}
        case "SS":
            return sorted(held)
        case "NS":
            return [_number(one) for one in sorted(held, key=Decimal)]
        case "BS":
            return sorted(map(_base64_of, held))
        case _:
            return _base64_of(held)


def _base64_of(data: Any) -> str:
    """Return binary data as base64 text, which JSON can hold."""
    return base64.b64encode(bytes(data)).decode()


def _number(text: str) -> int | float | str:
    """Return a number of up to 38 digits. DynamoDB knows no difference between 1 and 1.0, so that is 1."""
    try:
        return int(text)
    except ValueError:
        value = read_decimal(text)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
