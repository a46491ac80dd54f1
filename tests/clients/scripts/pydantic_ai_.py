"""pydantic-ai: the agent calls the tool itself and goes on with its result."""

import asyncio
import json
import sys

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

url, key, name = sys.argv[1:]
model = AnthropicModel(name, provider=AnthropicProvider(base_url=url, api_key=key))
plain, helped = Agent(model), Agent(model)
calls = []


@helped.tool_plain
def get_weather(city: str) -> str:
    """Current weather"""
    calls.append(["get_weather", {"city": city}])
    return "22 degrees"


def usage(result):
    used = result.usage() if callable(result.usage) else result.usage
    return [used.input_tokens, used.output_tokens]


async def streamed(agent, question):
    async with agent.run_stream(question) as result:
        text = "".join([piece async for piece in result.stream_text(delta=True)])
    return text, usage(result)


async def main():
    sync = await plain.run("hello")
    text, streamed_usage = await streamed(plain, "hello")
    told = await helped.run("Weather in Rome? call get_weather")
    sync_calls = list(calls)
    calls.clear()
    await streamed(helped, "Weather in Rome? call get_weather")
    return {
        "sync": {"text": sync.output, "usage": usage(sync)},
        "stream": {"text": text, "usage": streamed_usage},
        "tool": {"calls": sync_calls, "answer": told.output},
        "stream_tool": {"calls": calls},
    }


print(json.dumps(asyncio.run(main())))
