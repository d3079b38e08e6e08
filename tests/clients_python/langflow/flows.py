"""Flows of Langflow's own components, run by lfx, whose messages are kept by a Recount server.

Argument: its address. Prints what the components made of it.
"""

import asyncio
import json
import sys
from uuid import uuid4

from langchain_core.messages import AIMessageChunk
from lfx.components.input_output import ChatInput, ChatOutput
from lfx.components.models_and_agents.memory import MemoryComponent, aget_agent_chat_history
from lfx.custom.custom_component.component import Component
from lfx.events.event_manager import EventManager
from lfx.graph import Graph
from lfx.memory import flow_context, stubs
from lfx.schema.message import Message
from lfx.template.field.base import Output

from recount_client.langflow import Executing, message_store

CALLS = ("get_messages", "store_message", "add_messages", "update_messages", "delete_messages")
FLOW, OTHER_FLOW, USER, OTHER_USER = (str(uuid4()) for _ in range(4))


class StoringMemory(MemoryComponent):
    """Message History as the editor makes it when its mode is Store."""

    outputs = (Output(display_name="Stored", name="stored_messages", method="store_message"),)


class Streaming(Component):
    """What a language model's component gives when its answer comes by parts."""

    outputs = (Output(display_name="Message", name="message", method="answer", types=["Message"]),)

    def answer(self) -> Message:
        async def parts():
            for part in ("by ", "and ", "by"):
                yield AIMessageChunk(content=part)

        return Message(text=parts())


def executing() -> Executing:
    return Executing(
        flow_context.get_current_flow_id(),
        flow_context.get_current_message_owner_id(),
        flow_context.should_persist_messages(),
        flow_context.get_current_message_executor_id(),
    )


async def run(start, end, *, session="s", flow=FLOW, user=USER, is_kept=True):
    """Run a flow; returns the members of the message that it shows in the end."""
    graph = Graph(start, end, flow_id=flow, user_id=user)
    graph.session_id = session
    graph.persist_messages = is_kept
    async for result in graph.async_start(event_manager=EventManager(asyncio.Queue())):
        if hasattr(result, "vertex") and result.vertex.id == end._id:
            shown = result.result_dict.results["message"].data
    return shown


async def chat(text, **where):
    """A user says ``text`` and has it back."""
    said = ChatInput(_id="ChatInput-1").set(input_value=text)
    await run(said, ChatOutput(_id="ChatOutput-1").set(input_value=said.message_response), **where)


async def remembered(*, flow=FLOW, user=USER, **settings):
    """What Message History retrieves, as its text."""
    memory = MemoryComponent(_id="Memory-1").set(**{"mode": "Retrieve", "session_id": "s", **settings})
    shown = ChatOutput(_id="ChatOutput-1").set(
        input_value=memory.retrieve_messages_as_text, should_store_message=False
    )
    return (await run(memory, shown, flow=flow, user=user))["text"]


async def stored(text, **settings):
    """Have Message History store ``text``; returns the id of what it says it stored."""
    said = ChatInput(_id="ChatInput-1").set(input_value=text, should_store_message=False)
    memory = StoringMemory(_id="Memory-1").set(mode="Store", message=said.message_response, **settings)
    shown = ChatOutput(_id="ChatOutput-1").set(input_value=memory.store_message, should_store_message=False)
    return (await run(said, shown))["id"]


async def tell():
    told = {"early": await remembered()}
    await chat("one")
    await chat("two")
    await chat("elsewhere", flow=OTHER_FLOW)
    await chat("another's", user=OTHER_USER)
    await chat("nobody's", is_kept=False)
    told["all"] = await remembered()
    told["last three"] = await remembered(n_messages=3)
    told["newest first"] = await remembered(n_messages=2, order="Descending")
    told["by the user"] = await remembered(sender_type="User", template="<{text}>")
    told["others"] = [await remembered(flow=OTHER_FLOW), await remembered(user=OTHER_USER)]

    kept_id = await stored("kept", session_id="t", sender="User", sender_name="Ana", context_id="c")
    (kept,) = await stubs.aget_messages(session_id="t", flow_id=FLOW, user_id=USER)
    told["kept"] = [kept.id == kept_id, kept.text, kept.sender, kept.sender_name, kept.context_id]
    told["by context"] = await remembered(session_id="t", context_id="c")
    history = await aget_agent_chat_history(session_id="t", flow_id=FLOW, user_id=USER)
    told["an agent's"] = [[message.text, message.get_id() == kept_id] for message in history]

    model = Streaming(_id="Model-1")
    spoken = await run(model, ChatOutput(_id="ChatOutput-1").set(input_value=model.answer), session="u")
    (found,) = await stubs.aget_messages(session_id="u", flow_id=FLOW, user_id=USER)
    told["streamed"] = [spoken["text"], found.text, found.edit, found.properties.state]
    told["flow"], told["user"] = FLOW, USER
    return told


with message_store(sys.argv[1], make=Message, now=executing) as store:
    for call in CALLS:
        setattr(stubs, f"a{call}", getattr(store, f"a{call}"))
        setattr(stubs, call, getattr(store, call))
    stubs.delete_message = store.delete_message
    print(json.dumps(asyncio.run(tell())))
