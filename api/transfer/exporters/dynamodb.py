"""Sessions as items of a DynamoDB table, in the layout of LangChain's Python or JavaScript package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import time
from typing import Any

from recountdb.api.transfer.exporters.envelopes import Writer, envelope, flat
from recountdb.api.transfer.importers.dynamodb import EXPIRY, Item, Key, key_of, translate_aws_errors
from recountdb.api.transfer.importers.source import library
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session

ATTRIBUTES = {Writer.PYTHON: "History", Writer.JS: "messages"}
TAKEN = "ConditionalCheckFailedException"
TOO_LARGE = "ValidationException"


@dataclass(frozen=True)
class DynamoTable:
    """A table to export to. With ``ttl_seconds`` None items never expire.

    With ``replaces``, an existing item of the same key is replaced.
    """

    client: Any
    table: str
    key: Key
    writer: Writer
    attribute: str
    ttl_seconds: int | None = None
    replaces: bool = False

    def key_of(self, session: Session) -> str:
        return session.name

    def write(self, session: Session, messages: Iterable[MessageState]) -> str | None:
        """Write a session. Returns why it was not written, or None if it was. Raises SourceFailed."""
        exceptions = library("botocore.exceptions", extra="dynamodb")
        condition: dict[str, Any] = {
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": self.key.partition},
        }
        item = self._item(session, messages)
        with translate_aws_errors():
            try:
                self.client.put_item(TableName=self.table, Item=item, **({} if self.replaces else condition))
            except exceptions.ClientError as error:
                return _reason_of(error.response["Error"]["Code"], error)
        return None

    def _item(self, session: Session, messages: Iterable[MessageState]) -> Item:
        if self.writer is Writer.PYTHON:
            elements = [envelope(message, Writer.PYTHON) for message in messages]
        else:
            elements = [flat(message) for message in messages]
        item = {self.key.partition: {"S": session.name}, self.attribute: attribute_value(elements)}
        if self.key.sort is not None:  # LangChain JS stores the attribute's own name there
            item[self.key.sort] = {"S": self.key.sort}
        if self.ttl_seconds is not None:
            item[EXPIRY] = {"N": str(int(time()) + self.ttl_seconds)}
        return item


def opened_table(
    client: Any,
    table: str,
    writer: Writer,
    *,
    attribute: str | None,
    ttl_seconds: int | None,
    replaces: bool,
) -> DynamoTable:
    """Return the table to export to. Raises SourceFailed where there is no such table."""
    with translate_aws_errors():
        key = key_of(client, table)
    return DynamoTable(client, table, key, writer, attribute or ATTRIBUTES[writer], ttl_seconds, replaces)


def _reason_of(code: str, error: Exception) -> str:
    """Return why an item was not written. Raises ``error`` where it is not about this one item."""
    if code == TAKEN:
        return "its key is taken: with --replace it would be replaced"
    if code == TOO_LARGE:
        return "DynamoDB does not take it: an item holds 400 KB at most"
    raise error


def attribute_value(value: Any) -> dict[str, Any]:
    """Return a JSON value in the form that the service takes, as {"S": "text"}."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [attribute_value(one) for one in value]}
        case dict():
            return {"M": {name: attribute_value(one) for name, one in value.items()}}
        case _:
            raise TypeError(type(value).__name__)
