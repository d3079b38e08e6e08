"""The client's own adapters: a chat history of LangChain's and a checkpoint saver of LangGraph's."""

import asyncio
import json
import uuid

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import END, MessageGraph
from langmem import Client
from langmem.integrations.langchain import LangMemChatMessageHistory
from langmem.integrations.langgraph import MessagesCheckpoint

told = {}
client = Client()
user_id = str(uuid.uuid4())
call = {"name": "brew", "args": {"tea": "chai"}, "id": "call-1"}
function = {"name": "brew", "arguments": '{"tea": "chai"}'}
raw = [{"id": "call-1", "type": "function", "function": function}]

history = LangMemChatMessageHistory(thread_id=uuid.uuid4())
told["empty"] = history.messages
history.add_messages(
    [
        SystemMessage(content="Be kind."),
        HumanMessage(content="A chai, please.", name="Ana", additional_kwargs={"user_id": user_id}),
        AIMessage(content="", tool_calls=[call], additional_kwargs={"tool_calls": raw}),
        ToolMessage(content="done", tool_call_id="call-1", name="brew"),
        AIMessage(content="", additional_kwargs={"function_call": function}),
    ]
)
asyncio.run(history.aadd_messages([AIMessage(content="Coming up!")]))
history.end()
told["history"] = [[message.type, message.content] for message in history.messages]
told["tool calls"] = [bool(message.additional_kwargs.get("tool_calls")) for message in history.messages]
told["function calls"] = [
    bool(message.additional_kwargs.get("function_call")) for message in history.messages
]
told["null contents"] = [message["content"] is None for message in client.list_messages(history.thread_id)]
told["user"] = client.get_user(user_id)["name"]
history = LangMemChatMessageHistory(thread_id=uuid.uuid4())
told["async empty"] = asyncio.run(history.alist_messages())

graph = MessageGraph()
graph.add_node("waiter", lambda messages: AIMessage(content=f"{len(messages)}. Coming up!"))
graph.set_entry_point("waiter")
graph.add_edge("waiter", END)
saver = MessagesCheckpoint()
app = graph.compile(checkpointer=saver)
thread_id = uuid.uuid4()
config = {"configurable": {"thread_id": thread_id}}
app.invoke(
    HumanMessage(content="A chai, please.", additional_kwargs={"user_id": user_id, "user_name": "Ana"}),
    config,
)
told["checkpoint"] = client.get_thread_state(thread_id, key="checkpoint")["state"] is not None
told["graph"] = [message["content"] for message in client.list_messages(thread_id)]
told["resumed"] = [message.content for message in app.invoke(HumanMessage(content="And another."), config)]
asked = app.ainvoke(HumanMessage(content="And a last one."), config)
told["resumed asynchronously"] = [message.content for message in asyncio.run(asked)]
print(json.dumps(told))
