"""Anthropic's Python SDK, 0.x and 2.x alike."""

import json
import sys

import anthropic

url, key, model = sys.argv[1:]
client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
weather = {
    "name": "get_weather",
    "description": "Current weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
hello = {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": "hello"}]}
asking = {
    **hello,
    "messages": [{"role": "user", "content": "Weather in Rome? call get_weather"}],
    "tools": [weather],
}


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def tools(message):
    return [[block.name, block.input] for block in message.content if block.type == "tool_use"]


def usage(message):
    return [message.usage.input_tokens, message.usage.output_tokens]


sync = client.messages.create(**hello)
with client.messages.stream(**hello) as stream:
    pieces = list(stream.text_stream)
    streamed = stream.get_final_message()
called = client.messages.create(**asking)
with client.messages.stream(**asking) as stream:
    streamed_call = stream.get_final_message()
asking["messages"] += [
    {"role": "assistant", "content": called.content},
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": block.id, "content": "22 degrees"}
            for block in called.content
            if block.type == "tool_use"
        ],
    },
]
told = client.messages.create(**asking)
print(
    json.dumps(
        {
            "sync": {"text": text(sync), "usage": usage(sync)},
            "stream": {"text": "".join(pieces), "usage": usage(streamed)},
            "tool": {"calls": tools(called), "answer": text(told)},
            "stream_tool": {"calls": tools(streamed_call)},
        }
    )
)
