"""LangChain's chat history on Zep; prints what came of it in JSON."""

import json
import sys

from langchain_community.chat_message_histories import ZepChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage

address, key = sys.argv[1:]
history = ZepChatMessageHistory("lang chain", url=address, api_key=key)
told = {"before": [each.content for each in history.messages]}
history.add_user_message("I would like tea", metadata={"n": 1})
history.add_ai_message("Coming up")
history.add_messages([HumanMessage("And milk"), AIMessage("Of course")])
told["after"] = [[each.type, each.content] for each in history.messages]
told["summary"] = history.zep_summary
told["found"] = history.search("milk", limit=1)[0].message["content"]
history.clear()
told["cleared"] = [each.content for each in history.messages]
print(json.dumps(told))
