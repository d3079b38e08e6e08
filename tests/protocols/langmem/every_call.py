"""Every call of the client, synchronous or asynchronous; prints what they led to."""

import asyncio
import inspect
import json
import sys
import uuid
from datetime import UTC, datetime

from langmem import AsyncClient, Client
from pydantic import BaseModel, Field


class Profile(BaseModel):
    """Who they are."""

    name: str = Field(description="What they are called.")


class Newer(BaseModel):
    nickname: str


class Summary(BaseModel):
    """What was talked about."""

    title: str


def status_of(call, *args, **more):
    try:
        return call(*args, **more)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


class Awaited:
    """The asynchronous client, each call of it waited for."""

    def __init__(self, client):
        self.client = client
        self.loop = asyncio.new_event_loop()

    def __getattr__(self, name):
        def call(*args, **more):
            answer = getattr(self.client, name)(*args, **more)
            return self.loop.run_until_complete(listed(answer) if inspect.isasyncgen(answer) else answer)

        return call


async def listed(generator):
    return [item async for item in generator]


client = Client() if sys.argv[1] == "sync" else Awaited(AsyncClient())
user_id, thread_id = uuid.uuid4(), uuid.uuid4()
noon = datetime(2024, 4, 6, 12, tzinfo=UTC)
told = {}

# Before anything was written.
told["early messages"] = list(client.list_messages(thread_id))
told["early state"] = client.get_thread_state(thread_id)
told["early query"] = client.query_user_memory(user_id, "tea")
told["early thread"] = status_of(client.get_thread, thread_id)

# Threads and messages.
made = client.create_thread(thread_id=str(thread_id), metadata={"topic": "tea"})
history = [
    {
        "role": "user",
        "content": "A chai, please.",
        "name": "Ana",
        "metadata": {"user_id": user_id, "timestamp": noon, "mood": "calm"},
    },
    {"role": "assistant", "content": [{"type": "text", "text": "Coming up!"}]},
    {
        "id": uuid.uuid4(),
        "content": "Thanks!",
        "timestamp": noon,
        "user": {"user_id": user_id, "role": "user"},
    },
]
client.add_messages(thread_id, messages=history)
client.add_messages(thread_id, messages=[history[0], history[2]])
messages = list(client.list_messages(thread_id))
told["contents"] = [message["content"] for message in messages]
told["first"] = {**messages[0], "metadata": {k: v for k, v in messages[0]["metadata"].items() if k != "id"}}
told["user ids"] = [message["metadata"].get("user_id") == str(user_id) for message in messages]
langmem = list(client.list_messages(thread_id, response_format="langmem", ascending_order=False, page_size=1))
told["backwards"] = [message["content"] for message in langmem]
told["given id"] = langmem[0]["id"] == str(history[2]["id"])
told["limited"] = len(list(client.list_messages(thread_id, page_size=1, limit=2)))
told["thread"] = client.get_thread(thread_id) | {"updated_at": None} == made | {"updated_at": None}
told["threads"] = [thread["id"] for thread in client.list_threads()] == [str(thread_id)]
told["metadata"] = made["metadata"]
client.add_thread_state(thread_id, {"step": 1})
client.add_thread_state(thread_id, {"step": 2}, key="graph")
told["states"] = [client.get_thread_state(thread_id), client.get_thread_state(thread_id, key="graph")]

# Users: whoever spoke is one.
told["spoke"] = client.get_user(user_id)["name"]
other = client.create_user(user_id=str(uuid.uuid4()), name="Bob", tags=["new"], metadata={"plan": "free"})
changed = client.update_user(other["id"], tags=["old"], metadata={"since": 2024})
told["changed"] = [changed["name"], changed["tags"], changed["metadata"]]
told["by name"] = [user["id"] for user in client.list_users(name=["Bob"])] == [other["id"]]
told["by id"] = [user["name"] for user in client.list_users(id=[str(user_id)])]

# Memory functions, and what is put in the place of what they make.
function = client.create_memory_function(Profile, target_type="user_state")
told["function"] = [function[key] for key in ("type", "name", "description", "status")]
told["parameters"] = function["schema"]["parameters"]["required"]
told["same function"] = client.get_memory_function(function["id"]) == function
summary = client.create_memory_function(
    Summary, target_type="thread_summary", custom_instructions="Be brief."
)
told["kinds"] = {
    kind: [found["type"] for found in client.list_memory_functions(target_type=kind)]
    for kind in ("user", "thread")
}
told["all functions"] = len(list(client.list_memory_functions()))
newer = Newer if sys.argv[1] == "sync" else Newer.model_json_schema()  # the other takes no class
updated = client.update_memory_function(function["id"], schema=newer, status="disabled")
told["updated"] = [updated["name"], updated["status"], list(updated["schema"]["parameters"]["properties"])]
told["no memory"] = client.get_user_memory(user_id, memory_function_id=function["id"])
client.update_user_memory(user_id, memory_function_id=function["id"], state={"name": "Ana"})
told["memory"] = client.get_user_memory(user_id, memory_function_id=function["id"])
if sys.argv[1] == "async":
    (told["user memories"],) = client.list_user_memory(user_id)
    del told["user memories"]["memory_function_id"]
told["query"] = client.query_user_memory(
    user_id,
    "tea",
    k=5,
    memory_function_ids=[function["id"]],
    weights={"relevance": 1.0},
    states_to_return=[summary["id"], function["id"]],
    thread_summaries=[summary["id"]],
    thread_summaries_k=3,
)
client.delete_user_memory(user_id=user_id, memory_function_id=function["id"])
told["deleted memory"] = client.get_user_memory(user_id, memory_function_id=function["id"])
client.delete_individual_memories(user_id, memories=[uuid.uuid4(), uuid.uuid4()])
client.trigger_all_for_user(user_id)
client.trigger_all_for_thread(thread_id)
told["thread memories"] = client.list_thread_memory(thread_id)
told["summary"] = status_of(client.get_thread_memory, thread_id, memory_function_id=summary["id"])
client.delete_memory_function(function["id"])
told["deleted function"] = status_of(client.get_memory_function, function["id"])
told["refused"] = status_of(client.add_messages, thread_id, messages=[{"role": "user"}])
print(json.dumps(told))
