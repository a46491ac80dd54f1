"""langchain-anthropic."""

import json
import sys

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

url, key, model = sys.argv[1:]
chat = ChatAnthropic(model=model, base_url=url, api_key=key, max_tokens=200, max_retries=0)


@tool
def get_weather(city: str) -> str:
    """Current weather"""
    return "22 degrees"


def usage(message):
    return [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]


def calls(message):
    return [[call["name"], call["args"]] for call in message.tool_calls]


def folded(chunks):
    whole = next(chunks)
    for chunk in chunks:
        whole += chunk
    return whole


sync = chat.invoke("hello")
streamed = folded(chat.stream("hello"))
with_tools = chat.bind_tools([get_weather])
question = HumanMessage("Weather in Rome? call get_weather")
called = with_tools.invoke([question])
streamed_call = folded(with_tools.stream([question]))
results = [ToolMessage("22 degrees", tool_call_id=call["id"]) for call in called.tool_calls]
told = with_tools.invoke([question, called, *results])
print(
    json.dumps(
        {
            "sync": {"text": sync.text, "usage": usage(sync)},
            "stream": {"text": streamed.text, "usage": usage(streamed)},
            "tool": {"calls": calls(called), "answer": told.text},
            "stream_tool": {"calls": calls(streamed_call)},
        }
    )
)
