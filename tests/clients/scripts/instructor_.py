"""instructor: answers as objects, which it asks for by a forced tool."""

import json
import sys

import anthropic
import instructor
from pydantic import BaseModel

url, key, model = sys.argv[1:]
client = instructor.from_anthropic(anthropic.Anthropic(base_url=url, api_key=key, max_retries=0))


class Weather(BaseModel):
    city: str


question = {
    "model": model,
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Weather in Rome?"}],
    "max_retries": 0,
}
whole = client.chat.completions.create(response_model=Weather, **question)
*_, last = client.chat.completions.create_partial(response_model=Weather, **question)
print(
    json.dumps(
        {
            "tool": {"calls": [["Weather", whole.model_dump()]]},
            "stream_tool": {"calls": [["Weather", last.model_dump()]]},
        }
    )
)
