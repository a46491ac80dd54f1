"""litellm as a client of ours, not as a gateway."""

import json
import sys

import litellm

url, key, model = sys.argv[1:]
weather = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def ask(text, **options):
    return litellm.completion(
        model=f"anthropic/{model}",
        api_base=url + "/",  # the slash that it then doubles
        api_key=key,
        max_tokens=200,
        num_retries=0,
        messages=[{"role": "user", "content": text}],
        **options,
    )


def streamed(text, **options):
    chunks = list(ask(text, stream=True, stream_options={"include_usage": True}, **options))
    return litellm.stream_chunk_builder(chunks)


def text(answer):
    return answer.choices[0].message.content


def calls(answer):
    found = answer.choices[0].message.tool_calls or []
    return [[call.function.name, json.loads(call.function.arguments)] for call in found]


def usage(answer):
    return [answer.usage.prompt_tokens, answer.usage.completion_tokens]


question = "Weather in Rome? call get_weather"
sync, stream = ask("hello"), streamed("hello")
print(
    json.dumps(
        {
            "sync": {"text": text(sync), "usage": usage(sync)},
            "stream": {"text": text(stream), "usage": usage(stream)},
            "tool": {"calls": calls(ask(question, tools=[weather]))},
            "stream_tool": {"calls": calls(streamed(question, tools=[weather]))},
        }
    )
)
