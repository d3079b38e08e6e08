"""LangChain's MotorheadMemory in Python: what one says, another one reads; then it is deleted.

Arguments: the server's URL, and for the managed edition a key.
"""

import asyncio
import json
import sys

from langchain_community.memory import motorhead_memory
from langchain_community.memory.motorhead_memory import MotorheadMemory

URL, *KEY = sys.argv[1:]
if KEY:  # the class sends its headers to one address only
    motorhead_memory.MANAGED_URL = URL


async def opened(session_id):
    keys = {"api_key": KEY[0], "client_id": "anybody"} if KEY else {}
    memory = MotorheadMemory(url=URL, session_id=session_id, timeout=10, **keys)
    await memory.init()
    return memory


def said(memory):
    return [[message.type, message.content] for message in memory.chat_memory.messages]


async def main():
    first = await opened("trip")
    before = said(first)
    first.save_context({"input": "I fly to Lisbon: tomorrow"}, {"output": "Have fun"})
    first.save_context({"input": "Thank you"}, {"output": ""})
    second = await opened("trip")
    second.delete_session()
    third = await opened("trip")
    summarised = await opened("summarised")
    print(
        json.dumps(
            {
                "before": before,
                "said": said(second),
                "history": second.load_memory_variables({})["history"],
                "deleted": said(third),
                "contexts": [second.context, summarised.context],
            }
        )
    )


asyncio.run(main())
