"""Every recorded Anthropic request, sent to Responses upstreams: all texts, calls, results, schemas and limits
arrive, or are listed as dropped, or the call is refused for something that is really there.

The items are read here a second time, by other code than the product's.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from nexusflow_core.dialects.openai_responses.vendors import GENERIC, VENDORS
from tests.core.openai_chat.test_recorded_requests import (
    arrived,
    blocks,
    held,
    needs_recordings,
    of_role,
    placed,
    recorded,
    schema_of,
    texts,
)
from tests.core.openai_responses.asking import translated
from tests.core.translation.asking import Outcome
from tests.traffic import Exchange

MODELS = {
    "generic": ("some-model", 862),
    "openai": ("gpt-5.6-sol", 865),
    "azure": ("gpt-5.4", 865),
    "xai": ("grok-4.3", 862),
    "deepseek": ("deepseek-v4-flash", 821),
    "openrouter": ("google/gemini-3-pro", 865),
    "bedrock": ("openai.gpt-oss-120b", 862),
    "ollama": ("gpt-oss:20b", 839),
    "vllm": ("openai/gpt-oss-120b", 842),
}
"""A model of each vendor, and how many of 902 requests it is sent; the others are refused for a reason."""

KNOWN = {"text", "image", "document", "search_result", "tool_use", "tool_result"}


def missing(request: Mapping[str, Any], outcome: Outcome, vendor: str) -> Iterator[str]:
    """What of the request neither went upstream nor is listed."""
    sent = outcome.json
    yield from _texts(request, sent)
    yield from _calls(request, sent, vendor)
    yield from _images(request, sent)
    yield from _tools(request, sent, outcome)
    row = VENDORS.get(vendor, GENERIC)
    thinking = row.thinking_of(request["model"])
    yield from _members(request, sent, outcome, thinks=thinking is not None and thinking.by_default)
    for path, block in placed(request):
        if block["type"] not in KNOWN and path not in outcome.dropped:
            yield f"{path}: {block['type']}"
        marker = f"{path}.cache_control" in outcome.dropped or b"prompt_cache_breakpoint" in outcome.body
        if "cache_control" in block and not marker and not row.caches_itself:
            yield f"{path}.cache_control"


def messages(sent: Mapping[str, Any], role: str) -> list[str]:
    """The texts of the messages in one role."""
    contents = [item["content"] for item in sent["input"] if item.get("role") == role]
    return [text for content in contents for text in said(content)]


def said(content: Any) -> list[str]:
    parts = [{"text": content}] if isinstance(content, str) else content
    return [part["text"] for part in parts if "text" in part]


def _texts(request: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    roles = {role: messages(sent, role) for role in ("user", "assistant", "system", "developer")}
    system = [text for text in texts(request.get("system")) if not text.startswith("x-anthropic-billing")]
    in_place = [text for text in texts(of_role(request, "system")) if text]
    told = [sent["instructions"]] if "instructions" in sent else []
    as_user = [text for text in roles["user"] if text.startswith("<system>")]
    as_system = [*told, *roles["system"], *roles["developer"], *as_user]
    if "\n\n".join(as_system).replace("<system>", "").replace("</system>", "") != "\n\n".join(
        [*system, *in_place]
    ):
        yield "system"
    if roles["assistant"] != [text for text in texts(of_role(request, "assistant")) if text]:
        yield "texts of the assistant"
    there, start = "\0".join(roles["user"]), 0
    for text in [text for block in of_role(request, "user") for text in held(block)]:
        start = there.find(text, start) + len(text)
        if start < len(text):
            yield f"text of the user: {text[:60]}"


def _calls(request: Mapping[str, Any], sent: Mapping[str, Any], vendor: str) -> Iterator[str]:
    uses = [block for block in of_role(request, "assistant") if block["type"] == "tool_use"]
    results = {b["tool_use_id"]: b for b in of_role(request, "user") if b["type"] == "tool_result"}
    calls = [item for item in sent["input"] if item["type"] == "function_call"]
    if [(use["name"], use["input"]) for use in uses] != [
        (call["name"], json.loads(call["arguments"])) for call in calls
    ]:
        yield "calls"
    outputs = [item for item in sent["input"] if item["type"] == "function_call_output"]
    if [item["call_id"] for item in outputs] != [call["call_id"] for call in calls]:
        yield "ids of the results"
    for use, output in zip(uses, outputs, strict=True):
        result = results[use["id"]]
        kinds = {block["type"] for block in blocks(result.get("content"))}
        text = "\n".join(texts(result.get("content")))
        if result.get("is_error") and not text.startswith("Error"):
            text = f"Error: {text}" if text else "Error"
        inline = VENDORS.get(vendor, GENERIC).tool_images == "inline"
        moved = "" if inline or "image" not in kinds else "\n[image below]"
        if "document" not in kinds and "\n".join(said(output["output"])) != f"{text}{moved}".lstrip():
            yield f"result of {use['id']}"


def _images(request: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    sources = [block["source"] for _, block in placed(request) if block["type"] == "image"]
    contents = [item.get("content", item.get("output")) for item in sent["input"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    urls = [part["image_url"] for part in parts if part["type"] == "input_image"]
    if sorted(urls) != sorted(s.get("url") or f"data:{s['media_type']};base64,{s['data']}" for s in sources):
        yield "images"
    given = [block["source"] for _, block in placed(request) if block["type"] == "document"]
    files = [source for source in given if source["type"] in ("base64", "url")]
    if len([part for part in parts if part["type"] == "input_file"]) != len(files):
        yield "documents"


def _tools(request: Mapping[str, Any], sent: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    tools = request.get("tools") or []
    if len(tools) != len(sent.get("tools", ())):
        yield "tools"
    for index, (tool, made) in enumerate(zip(tools, sent.get("tools", ()), strict=False)):
        path = f"tools[{index}]"
        schema = {"type": "object", "properties": {}, **tool.get("input_schema", {})}
        if tool.get("type", "custom") == "custom" and made["parameters"] != schema:
            yield f"{path}.input_schema"
        if made["name"] != tool["name"] or tool.get("description", "") not in made.get("description", ""):
            yield path
        if made["strict"] is not bool(tool.get("strict")) and f"{path}.strict" not in outcome.dropped:
            yield f"{path}.strict"
    choice = request.get("tool_choice")
    if choice and tools and "tool_choice" not in outcome.dropped and "tool_choice" in sent:
        name = {"type": "function", "name": choice.get("name")}
        if sent["tool_choice"] != {"any": "required", "auto": "auto", "none": "none"}.get(choice["type"], name):
            yield "tool_choice"
        one = sent.get("parallel_tool_calls") is False
        if bool(choice.get("disable_parallel_tool_use")) is not one:
            yield "tool_choice.disable_parallel_tool_use"


def _members(
    request: Mapping[str, Any], sent: Mapping[str, Any], outcome: Outcome, *, thinks: bool
) -> Iterator[str]:
    """`thinks`: the model does so without being asked."""
    if sent["max_output_tokens"] != request["max_tokens"] and "max_tokens" not in outcome.dropped:
        yield "max_tokens"
    if sent.get("stream", False) != bool(request.get("stream")):
        yield "stream"
    for name in ("temperature", "top_p", "top_k"):
        if sent.get(name) != request.get(name) and name not in outcome.dropped:
            yield name
    for name in ("thinking", "output_config", "container", "metadata"):
        told = any(re.match(rf"{name}\b", path) for path in outcome.dropped)
        carried = {
            "thinking": "reasoning" in sent
            or (thinks and request.get("thinking", {}).get("type") == "adaptive"),
            "output_config": "reasoning" in sent or "text" in sent,
            "metadata": "safety_identifier" in sent,
        }
        if request.get(name) and not told and not carried.get(name):
            yield name
    if sent.get("text", {}).get("format", {}).get("schema") != schema_of(request):
        yield "output_config.format.schema"


def sent_to(vendor: str, sample: list[Exchange]) -> Counter[str]:
    """How many arrive and how many are refused for what; fails with all that is wrong."""
    return arrived(
        sample,
        MODELS[vendor][0],
        lambda request: translated(request, vendor),
        lambda request, outcome: missing(request, outcome, vendor),
    )


@needs_recordings
@pytest.mark.parametrize("vendor", MODELS)
def test_a_tenth_of_the_recorded_requests_arrives(vendor: str) -> None:
    """Every tenth, for the plain run."""
    assert sent_to(vendor, recorded()[::10])["carried"] >= 75


@pytest.mark.recorded
@needs_recordings
@pytest.mark.parametrize("vendor", MODELS)
def test_every_recorded_request_arrives(vendor: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, or the reason why not."""
    found = sent_to(vendor, recorded())
    with capsys.disabled():
        print(f"\n{vendor}: {dict(found.most_common())}")
    assert (found.total(), found["carried"]) == (902, MODELS[vendor][1])
