"""What the store should hold after each command, in plain dicts and without any of its code.

A command is a dict, ``Ask``; what it led to is an ``Answer``. A stream is the list of the states it
has had, one after each event; a state has the members of its row in the views, with its messages
and state documents in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid5

Row = dict[str, Any]
Ask = dict[str, Any]

PROFILE: Row = {"display_name": None, "email": None, "first_name": None, "last_name": None, "tags": []}
DEFINITION: Row = {"name": "", "description": "", "parameters": {}, "instructions": None, "is_enabled": True}
WORDS = ("role", "content", "name", "user_id", "timestamp", "tool_calls", "tool_call_id")
SAID = (*WORDS, "metadata", "token_count")


class No(Exception):
    """A refusal, by the name of the error that the caller gets."""


@dataclass
class Stream:
    history: list[Row]
    stream_id: Any = None  # the store makes it up

    @property
    def now(self) -> Row:
        return self.history[-1]

    def key(self) -> tuple[str, str, str, str]:
        return (self.now["project"], self.now["kind"], self.now["scope"], self.now["name"])


@dataclass
class Answer:
    """``first`` and ``last``: the versions of the events; ``last`` is less where there are none."""

    stream: Stream
    first: int
    last: int
    message_ids: list[Any] = field(default_factory=list)
    is_repeat: bool = False

    @property
    def state(self) -> Row:
        return self.stream.history[self.last - 1]


class Model:
    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.purged: list[Stream] = []
        self.requests: dict[tuple[str, str], tuple[str, Answer]] = {}

    def carry_out(self, ask: Ask) -> Answer:
        """Raises No; nothing has changed then."""
        key = (ask["project"], ask["key"])
        if ask["key"] is not None and key in self.requests:
            return self.repeat(ask, *self.requests[key])
        stream = self.find(ask["project"], ask["kind"], ask["scope"], ask["name"])
        version = stream.now["version"] if stream else 0
        if ask["expected"] not in (None, version):
            raise No("ExpectationFailed")
        draft = Draft(self, ask, stream.history if stream else [])
        message_ids = COMMANDS[ask["command"]](draft, ask)
        if stream is None:
            stream = Stream(draft.history)
            self.streams.append(stream)
        stream.history = draft.history
        answer = Answer(stream, version + 1, stream.now["version"], message_ids or [])
        if ask["key"] is not None and answer.last > version:
            self.requests[key] = (ask["fingerprint"], answer)
        return answer

    def repeat(self, ask: Ask, fingerprint: str, first: Answer) -> Answer:
        if fingerprint != ask["fingerprint"]:
            raise No("KeyReused")
        return Answer(first.stream, first.first, first.last, first.message_ids, is_repeat=True)

    def find(self, *key: str) -> Stream | None:
        return next((stream for stream in self.streams if stream.key() == key), None)

    def count(self, project: str, kind: str) -> int:
        """How many there ever were."""
        return sum(stream.key()[:2] == (project, kind) for stream in (*self.streams, *self.purged))

    def knows(self, project: str, user_id: str) -> bool:
        """Whether there is anything of a user but a profile."""
        return any(
            stream.now.get("user_id") == user_id
            or any(message["user_id"] == user_id for message in stream.now["messages"])
            for stream in self.streams
            if stream.now["project"] == project
        )

    def purge(self, stream: Stream) -> None:
        """It was never there, but for its number."""
        self.streams = [other for other in self.streams if other is not stream]
        self.purged.append(stream)
        self.requests = {
            key: (said, answer)
            for key, (said, answer) in self.requests.items()
            if answer.stream is not stream
        }


class Draft:
    """The states of a stream, with those that a command adds."""

    def __init__(self, model: Model, ask: Ask, history: list[Row]) -> None:
        self.model = model
        self.ask = ask
        self.history = list(history)

    @property
    def now(self) -> Row:
        if not self.history:
            raise No("NotFound")
        return self.history[-1]

    def begin(self, **members: Any) -> None:
        ask = self.ask
        self.history.append(
            {
                **{name: ask[name] for name in ("project", "kind", "scope", "name")},
                "number": self.model.count(ask["project"], ask["kind"]) + 1,
                "version": 1,
                "metadata": None,
                "created_at": ask["at"],
                "updated_at": ask["at"],
                "deleted_at": None,
                "deleted_version": None,
                "hidden_through": 0,
                "hold": None,
                "messages": [],
                "states": {},
                **members,
            }
        )

    def happen(self, **changes: Any) -> Row:
        """One more event, and a state that may be changed further."""
        then = max(self.ask["at"], self.now["updated_at"])
        state = deepcopy(self.now) | {"version": self.now["version"] + 1, "updated_at": then} | changes
        self.history.append(state)
        return state

    def revive(self) -> None:
        deleted = self.now["deleted_version"]
        if deleted is not None:
            self.happen(deleted_at=None, deleted_version=None, hidden_through=deleted)


def start(draft: Draft, ask: Ask) -> None:
    if draft.history:
        raise No("AlreadyExists")
    own = owned(ask)
    own |= {"profile": PROFILE | (ask["profile"] or {})} if ask["kind"] == "user" else {}
    own |= {"definition": DEFINITION | ask["definition"]} if ask["kind"] == "function" else {}
    draft.begin(metadata=ask["metadata"], **own)


def owned(ask: Ask) -> Row:
    """What only sessions begin with."""
    return {"user_id": ask["user_id"], "origin": None} if ask["kind"] == "session" else {}


def fork(draft: Draft, ask: Ask) -> list[Any]:
    """``source``: a stream and the state it had; ``copies``: the ids that its messages get."""
    if draft.history:
        raise No("AlreadyExists")
    stream_id, then = ask["source"]
    metadata = then["metadata"]
    if ask["metadata"] is not None:
        metadata = merged(metadata or {}, ask["metadata"])
    origin = {"stream_id": stream_id, "version": then["version"]}
    draft.begin(metadata=metadata, user_id=then["user_id"], origin=origin)
    shown = [message for message in then["messages"] if not is_hidden(then, message)]
    return [
        say(draft, {**{member: message[member] for member in SAID}, "message_id": copy})
        for message, copy in zip(shown, ask["copies"], strict=True)
    ]


def add(draft: Draft, ask: Ask) -> list[Any]:
    if not draft.history:
        draft.begin(metadata=ask["metadata"], **owned(ask))
    elif ask["metadata"] is not None and ask["existing_metadata"] != "keep":
        (replace_metadata if ask["existing_metadata"] == "replace" else merge_metadata)(draft, ask)
    draft.revive()
    return [say(draft, message) for message in ask["messages"]]


def say(draft: Draft, message: Row) -> Any:
    """The id under which the message is recorded, now or before."""
    hidden_ids = draft.ask.get("hidden_ids", "refuse")
    for known in draft.now["messages"]:  # in order of joining: a successor comes after what it succeeds
        if known["message_id"] == message["message_id"]:
            is_told_hidden = is_hidden(draft.now, known)
            if is_told_hidden and hidden_ids == "renew":
                successor = uuid5(known["message_id"], str(known["version"]))
                message = {**message, "message_id": successor}
                continue
            is_first = known["changed_version"] == known["version"]
            is_repeat = not is_first or is_same(known, message, WORDS)
            known_ids = draft.ask.get("known_ids", "repeat")
            if known_ids == "refuse":
                raise No("MessageIdTaken")
            if is_told_hidden and hidden_ids != "pass_over":
                raise No("MessageIsDeleted")
            if known_ids == "repeat" and not (is_told_hidden or is_repeat):
                raise No("MessageIdTaken")
            return known["message_id"]
    if draft.now["kind"] == "thread" and message["timestamp"] is not None:
        for known in draft.now["messages"]:
            is_told = is_same(known, message, ("timestamp", "role", "user_id", "content"))
            if is_told and not is_hidden(draft.now, known):
                return known["message_id"]
    state = draft.happen()
    recorded = {"recorded_at": state["updated_at"], "updated_at": state["updated_at"]}
    place = {"version": state["version"], "changed_version": state["version"]}
    state["messages"].append({**message, **place, **recorded, "deleted_at": None, "deleted_version": None})
    return message["message_id"]


def merge_metadata(draft: Draft, ask: Ask) -> None:
    metadata = draft.now["metadata"] or {}
    draft.revive()
    if text(merged(metadata, ask["metadata"])) != text(metadata):
        draft.happen(metadata=merged(metadata, ask["metadata"]))


def replace_metadata(draft: Draft, ask: Ask) -> None:
    metadata = draft.now["metadata"] or {}
    draft.revive()
    if text(ask["metadata"]) != text(metadata):
        draft.happen(metadata=ask["metadata"])


def delete(draft: Draft, ask: Ask) -> None:
    if draft.now["deleted_version"] is None:
        state = draft.happen()
        state |= {"deleted_at": state["updated_at"], "deleted_version": state["version"]}


def undelete(draft: Draft, ask: Ask) -> None:
    if draft.now["deleted_version"] is not None:
        draft.happen(deleted_at=None, deleted_version=None)


def place_hold(draft: Draft, ask: Ask) -> None:
    if not draft.history and ask["kind"] == "user" and draft.model.knows(ask["project"], ask["name"]):
        draft.begin(profile=PROFILE)
    if draft.now["hold"] != ask["reason"]:
        draft.happen(hold=ask["reason"])


def release_hold(draft: Draft, ask: Ask) -> None:
    if draft.now["hold"] is not None:
        draft.happen(hold=None)


def rename(draft: Draft, ask: Ask) -> None:
    if draft.now["deleted_version"] is not None:
        raise No("NotFound")
    if ask["new_name"] == draft.now["name"]:
        return
    if draft.model.find(ask["project"], "session", ask["scope"], ask["new_name"]):
        raise No("AlreadyExists")
    draft.happen(name=ask["new_name"])


def visible(draft: Draft, ask: Ask) -> Row:
    for message in draft.now["messages"]:
        if message["message_id"] == ask["message_id"] and not is_hidden(draft.now, message):
            found: Row = message
            return found
    raise No("NotFound")


def change_message(draft: Draft, ask: Ask) -> list[Any]:
    message = visible(draft, ask)
    metadata = message["metadata"] or {}
    if not is_same(message, ask["changes"], tuple(ask["changes"])):
        touch(draft, ask["message_id"], **ask["changes"])
    if ask["metadata"] is not None and text(merged(metadata, ask["metadata"])) != text(metadata):
        touch(draft, ask["message_id"], metadata=merged(metadata, ask["metadata"]))
    return [ask["message_id"]]


def delete_message(draft: Draft, ask: Ask) -> list[Any]:
    visible(draft, ask)
    message = touch(draft, ask["message_id"])
    message |= {"deleted_at": message["updated_at"], "deleted_version": message["changed_version"]}
    return [ask["message_id"]]


def touch(draft: Draft, message_id: Any, **changes: Any) -> Row:
    state = draft.happen()
    (message,) = (message for message in state["messages"] if message["message_id"] == message_id)
    message |= {"changed_version": state["version"], "updated_at": state["updated_at"], **changes}
    touched: Row = message
    return touched


def set_state(draft: Draft, ask: Ask) -> None:
    if not draft.history:
        draft.begin(**({"profile": PROFILE} if ask["kind"] == "user" else {}))
    draft.revive()
    state = draft.happen()
    document = {"state": ask["state"], "version": state["version"], "updated_at": state["updated_at"]}
    state["states"][ask["slot"]] = document


def change_user(draft: Draft, ask: Ask) -> None:
    profile = draft.now["profile"]
    draft.revive()
    if text(profile | ask["changes"]) != text(profile):
        draft.happen(profile=profile | ask["changes"])
    if ask["metadata"] is not None:
        (replace_metadata if ask["replaces_metadata"] else merge_metadata)(draft, ask)


def upsert_user(draft: Draft, ask: Ask) -> None:
    if draft.history:
        change_user(draft, ask)
    else:
        draft.begin(metadata=ask["metadata"], profile=PROFILE | ask["changes"])


def define(draft: Draft, ask: Ask) -> None:
    definition = DEFINITION | ask["definition"]
    if not draft.history:
        draft.begin(definition=definition)
    else:
        redefine(draft, definition)


def change_function(draft: Draft, ask: Ask) -> None:
    if not draft.history and ask["unless_defined"] is not None:
        draft.begin(definition=DEFINITION | ask["unless_defined"])
    if draft.now["deleted_version"] is not None:
        raise No("NotFound")
    redefine(draft, draft.now["definition"] | ask["changes"])


def redefine(draft: Draft, definition: Row) -> None:
    before = draft.now["definition"]
    draft.revive()
    if text(before) != text(definition):
        draft.happen(definition=definition)


COMMANDS: dict[str, Callable[[Draft, Ask], list[Any] | None]] = {
    function.__name__: function
    for function in (
        start,
        fork,
        add,
        merge_metadata,
        delete,
        undelete,
        place_hold,
        release_hold,
        rename,
        change_message,
        delete_message,
        set_state,
        change_user,
        upsert_user,
        define,
        change_function,
    )
}


def is_hidden(state: Row, message: Row) -> bool:
    return (
        state["deleted_version"] is not None
        or message["deleted_version"] is not None
        or message["version"] <= state["hidden_through"]
    )


def message_count(state: Row) -> int:
    left = (m for m in state["messages"] if m["version"] > state["hidden_through"])
    return sum(message["deleted_version"] is None for message in left)


def page_of(state: Row, criteria: Row) -> Iterator[Row]:
    """The messages of ``state`` that meet the criteria, in its order."""
    for message in state["messages"]:
        said = message["timestamp"] or message["recorded_at"]
        if (
            criteria["deleted"] in (None, is_hidden(state, message))
            and criteria["role"] in (None, message["role"])
            and criteria["user_id"] in (None, message["user_id"])
            and (criteria["metadata"] is None or contains(message["metadata"], criteria["metadata"]))
            and (criteria["since"] is None or said >= criteria["since"])
            and (criteria["until"] is None or said < criteria["until"])
        ):
            yield message


def contains(document: Any, part: Any) -> bool:
    if isinstance(document, dict) and isinstance(part, dict):
        return all(key in document and contains(document[key], part[key]) for key in part)
    if isinstance(document, list) and isinstance(part, list):
        return all(any(contains(member, wanted) for member in document) for wanted in part)
    return text(document) == text(part)


def merged(old: Any, patch: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    result = dict(old)
    for key, value in patch.items():
        result[key] = merged(old[key], value) if key in old else value
    return result


def is_same(one: Row, other: Row, members: tuple[str, ...]) -> bool:
    return all(text(one[member]) == text(other[member]) for member in members)


def text(value: Any) -> str:
    """One spelling for each JSON value, in which true is not 1."""
    return json.dumps(value, sort_keys=True, default=spelt)


def spelt(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
