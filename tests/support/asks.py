"""What is asked of the store in random order: commands as plain dicts, and as the store takes them.

There are few names, ids, instants and words, so that they often meet.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete, MergeMetadata, SetState, Start, Undelete
from recountdb.domain.commands.conversations import AddMessages, ChangeMessage, DeleteMessage, RenameSession
from recountdb.domain.commands.memory_functions import ChangeFunction, DefineFunction
from recountdb.domain.commands.retention import PlaceHold, ReleaseHold
from recountdb.domain.commands.users import ChangeUser, UpsertUser
from recountdb.domain.events import Context, Idempotency
from recountdb.domain.memory_functions import Definition
from recountdb.domain.messages import Message
from recountdb.domain.users import Profile
from tests.support.model import Ask, Row

BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INSTANTS = [None, BEGINNING, BEGINNING + timedelta(microseconds=1)]
CHOSEN_IDS = [UUID(int=number) for number in range(1, 5)]

documents = st.sampled_from(
    [{}, {"a": 1}, {"a": True}, {"a": None}, {"a": {"b": 1}}, {"a": {"c": [1, None]}}, {"b": 10**30}]
)
contents = st.sampled_from(["hi", "yo", None, [1], [True], [{"text": "hi"}]])
users = st.sampled_from([None, "ana"])

messages = st.fixed_dictionaries(
    {
        "message_id": st.none() | st.sampled_from(CHOSEN_IDS),
        "role": st.sampled_from(["user", "assistant"]),
        "content": contents,
        "name": st.sampled_from([None, "Ana"]),
        "user_id": users,
        "timestamp": st.sampled_from(INSTANTS),
        "tool_calls": st.sampled_from([None, [{"id": "1"}]]),
        "tool_call_id": st.none(),
        "metadata": st.none() | documents,
        "token_count": st.sampled_from([None, 3]),
    }
)

changes = st.fixed_dictionaries(
    {}, optional={"content": contents, "role": st.just("system"), "user_id": users, "token_count": st.just(5)}
)
profile_changes = st.fixed_dictionaries(
    {}, optional={"display_name": users, "email": st.just("a@b.c"), "tags": st.sampled_from([[], ["x"]])}
)

definitions = st.fixed_dictionaries(
    {"type": st.sampled_from(["user_state", "thread_summary"])},
    optional={"name": st.just("profile"), "parameters": documents, "is_enabled": st.booleans()},
)
definition_changes = st.fixed_dictionaries(
    {}, optional={"instructions": st.just("Be brief."), "parameters": documents, "is_enabled": st.booleans()}
)

PAYLOADS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "start": {
        "metadata": st.none() | documents,
        "user_id": users,
        "profile": st.none() | profile_changes,
        "definition": definitions,
    },
    "add": {
        "messages": st.lists(messages, min_size=1, max_size=3) | st.just([]),
        "user_id": users,
        "metadata": st.none() | documents,
        "known_ids": st.sampled_from(["repeat", "repeat", "refuse", "pass_over"]),
        "hidden_ids": st.sampled_from(["refuse", "renew", "pass_over"]),
        "existing_metadata": st.sampled_from(["keep", "keep", "merge", "replace"]),
    },
    "merge_metadata": {"metadata": documents},
    "delete": {},
    "undelete": {},
    "place_hold": {"reason": st.sampled_from(["case 7", "case 8"])},
    "release_hold": {},
    "rename": {"new_name": st.sampled_from(["s1", "s2", "s3"])},
    "change_message": {"which": st.integers(0, 9), "changes": changes, "metadata": st.none() | documents},
    "delete_message": {"which": st.integers(0, 9)},
    "set_state": {"slot": st.sampled_from([None, "k"]), "state": st.sampled_from([None, 1, {"a": []}])},
    "change_user": {
        "changes": profile_changes,
        "metadata": st.none() | documents,
        "replaces_metadata": st.booleans(),
    },
    "upsert_user": {
        "changes": profile_changes,
        "metadata": st.none() | documents,
        "replaces_metadata": st.booleans(),
    },
    "define": {"definition": definitions},
    "change_function": {"changes": definition_changes, "unless_defined": st.none() | definitions},
}

COMMON = ["merge_metadata", "delete", "delete", "undelete", "place_hold", "release_hold"]
TALK = ["add", "add", "add", "change_message", "delete_message"]
ASKED_OF = {
    "session": ["start", *TALK, "rename", *COMMON],
    "thread": ["start", *TALK, "set_state", "set_state", *COMMON],
    "user": ["start", "change_user", "upsert_user", "set_state", *COMMON],
    "function": ["start", "define", "change_function", "change_function", *COMMON],
}


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    kind = draw(st.sampled_from(["session", "session", "thread", "thread", "user", "function"]))
    command = draw(st.sampled_from(ASKED_OF[kind]))
    return {
        "command": command,
        "kind": kind,
        "project": draw(st.sampled_from(["p", "p", "q"])),
        "scope": draw(st.sampled_from(["", "", "flow"])) if kind == "session" else "",
        "name": draw(st.sampled_from(["s1", "s2", "s3"] if kind == "session" else ["t1", "t2"])),
        "seconds": draw(st.sampled_from([0, 1, 1, 1, -5])),
        "near": draw(st.sampled_from([None, 0, 1, 2, 3])),
        "expected": draw(st.sampled_from([None] * 12 + ["right", "right", "too low", "too high"])),
        "key": draw(st.sampled_from([None] * 16 + ["k1", "k2", "k3", "k4"])),
        **{member: draw(strategy) for member, strategy in PAYLOADS[command].items()},
    }


def first_ask(kind: str, name: str, command: str, **members: Any) -> Ask:
    common = {"project": "p", "scope": "", "seconds": 1, "near": None, "expected": None, "key": None}
    return {**common, "command": command, "kind": kind, "name": name, **members}


def first_message(content: Any, **members: Any) -> Row:
    common = ("name", "user_id", "timestamp", "tool_calls", "tool_call_id", "metadata", "token_count")
    return {**dict.fromkeys(common), "message_id": None, "role": "user", "content": content, **members}


FIRST = [
    first_ask("user", "t1", "start", metadata=None, user_id=None, profile=None, definition=None),
    first_ask(
        "session",
        "s1",
        "add",
        messages=[first_message("hi"), first_message("yo")],
        user_id="ana",
        metadata=None,
        known_ids="repeat",
        hidden_ids="refuse",
        existing_metadata="keep",
    ),
    first_ask(
        "thread",
        "t1",
        "add",
        messages=[first_message("hi", timestamp=BEGINNING)],
        user_id=None,
        metadata=None,
        known_ids="repeat",
        hidden_ids="refuse",
        existing_metadata="keep",
    ),
]
"""What most examples begin with, so that later commands find something to act on."""

filters: st.SearchStrategy[Row] = st.builds(
    dict,
    deleted=st.sampled_from([False, False, True, None]),
    role=st.sampled_from([None, None, "user"]),
    user_id=st.sampled_from([None, None, "ana"]),
    metadata=st.none() | documents,
    since=st.sampled_from([None, None, *INSTANTS[1:]]),
    until=st.sampled_from([None, None, None, BEGINNING + timedelta(seconds=3)]),
)


def target_of(ask: Ask) -> tuple[str, str, str, str]:
    return (ask["project"], ask["kind"], ask["scope"], ask["name"])


def command_of(ask: Ask) -> Command:
    target: dict[str, Any] = {name: ask[name] for name in ("kind", "name", "scope")}
    target["expected_version"] = ask["expected"]
    own = {name: ask[name] for name in PAYLOADS[ask["command"]] if name != "which"}
    match ask["command"]:
        case "start":
            profile, definition = own.pop("profile"), own.pop("definition")
            match ask["kind"]:
                case "user":
                    own["profile"] = Profile(**(profile or {}))
                case "function":
                    own["definition"] = Definition(**definition)
            return Start(**target, **own)
        case "add":
            said = [
                Message(id=message["message_id"], **{k: v for k, v in message.items() if k != "message_id"})
                for message in ask["messages"]
            ]
            return AddMessages(
                **target,
                messages=said,
                given_ids=frozenset(ask["chosen"]),
                user_id=ask["user_id"],
                metadata=ask["metadata"],
                known_ids=ask["known_ids"],
                hidden_ids=ask["hidden_ids"],
                existing_metadata=ask["existing_metadata"],
            )
        case "define":
            return DefineFunction(**target, definition=Definition(**ask["definition"]))
        case "change_function":
            standard = ask["unless_defined"]
            unless_defined = None if standard is None else Definition(**standard)
            return ChangeFunction(**target, changes=ask["changes"], unless_defined=unless_defined)
        case "change_message":
            return ChangeMessage(**target, message_id=ask["message_id"], **own)
        case "delete_message":
            return DeleteMessage(**target, message_id=ask["message_id"])
        case "set_state":
            return SetState(**target, key=ask["slot"], state=ask["state"])
        case command:
            classes: dict[str, Any] = {
                "merge_metadata": MergeMetadata,
                "delete": Delete,
                "undelete": Undelete,
                "place_hold": PlaceHold,
                "release_hold": ReleaseHold,
                "rename": RenameSession,
                "change_user": ChangeUser,
                "upsert_user": UpsertUser,
            }
            made: Command = classes[command](**target, **own)
            return made


def context_of(ask: Ask) -> Context:
    key = Idempotency(key=ask["key"], fingerprint=ask["fingerprint"]) if ask["key"] else None
    return Context(project=ask["project"], actor="test", at=ask["at"], idempotency=key)
