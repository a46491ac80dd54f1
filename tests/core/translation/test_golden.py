"""Golden pairs, each named after what went wrong elsewhere; `why` in its case.json says what, and where from.

messages.json -> messages.WIRE.json   a request, without its `stream`
answer.WIRE.sse -> messages.sse       a stream
answer.WIRE.json -> message.json      a whole answer
error.json                            what the client gets instead: status, headers, body
case.json                             the vendor's row, status and headers, what is dropped or refused;
                                      its object WIRE overrides members for one dialect

WIRE is a translated dialect, such as openai_chat. Ids that are made here are written `msg_*` and `toolu_*`;
`input_tokens` 0 in message_start is any estimate.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nexusflow_core.dialects import DIALECTS
from tests.core.translation.asking import OTHER_DIALECTS, request_of, translated
from tests.core.translation.driving import TOOLS, Driven, answered, streamed
from tests.core.translation.grammar import checked

GOLDEN = Path(__file__).parent.parent.parent / "golden"
CASES = sorted(folder.name for folder in GOLDEN.iterdir())
NOT_GOLDEN = ("anthropic", "toy")
WIRES = {name.replace("-", "_"): name for name in (*DIALECTS, *OTHER_DIALECTS) if name not in NOT_GOLDEN}
"""Every translated dialect, by its name in a file's name."""
STREAM_OPTIONS = {
    "openai_chat": {"include_usage": True},
    "openai_responses": {"include_obfuscation": False},
}
"""What is said beside `stream`."""


def having(file: str) -> pytest.MarkDecorator:
    """Parametrised by the dialects and the cases that have this file."""
    pairs = [(wire, case) for wire in WIRES for case in CASES if (GOLDEN / case / file.format(wire)).exists()]
    assert pairs
    return pytest.mark.parametrize(("wire", "case"), pairs)


def test_no_output_is_left_out() -> None:
    """Each file of a case is read by a test below: none is for a dialect that the table does not have."""
    outputs = [form.format(wire) for form in (ASKED, STREAMED, ANSWERED) for wire in WIRES]
    known = {"case.json", "messages.json", "messages.sse", "message.json", "error.json", *outputs}
    assert {path.name for case in CASES for path in (GOLDEN / case).iterdir()} <= known


ASKED, STREAMED, ANSWERED = "messages.{}.json", "answer.{}.sse", "answer.{}.json"


def about(case: str, wire: str = "openai_chat") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / case / "case.json").read_text())
    return {**found, **found.get(wire, {})}


def request_for(case: str) -> dict[str, Any]:
    """The case's request; one with tools where it has none of its own."""
    path = GOLDEN / case / "messages.json"
    return json.loads(path.read_text()) if path.exists() else request_of(tools=TOOLS)


def plain(value: Any) -> Any:
    """With ids of our own making and estimates as the golden files write them."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: plain(item) for name, item in value.items()}
    if re.fullmatch(r"(msg|toolu(_fn\d+)?)_[0-9a-f]{24}", str(made.get("id"))):
        made["id"] = made["id"].partition("_")[0] + "_*"
    for name in ("signature", "data"):
        if str(made.get(name)).startswith("nxf1."):
            made[name] = "nxf1.*"
    return made


def ids(value: Any) -> list[str]:
    """Of tool calls, so that none is there twice."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value["id"]] if isinstance(value, dict) and value.get("type") == "tool_use" else []
    return own + [id for item in inside for id in ids(item)]


def same_error(case: str, driven: Driven) -> None:
    expected = json.loads((GOLDEN / case / "error.json").read_text())
    assert (driven.status, driven.json) == (expected["status"], expected["body"])
    for name in ("retry-after", "x-should-retry"):
        assert driven.headers.get(name) == expected.get("headers", {}).get(name)
    assert driven.headers["request-id"] == "req_1"


REQUESTS = [case for case in CASES if (GOLDEN / case / "messages.json").exists()]


@pytest.mark.parametrize("wire", WIRES)
def test_every_request_has_an_output_in_each_dialect(wire: str) -> None:
    """Or a refusal, never both."""
    outputs = [case for case in REQUESTS if (GOLDEN / case / ASKED.format(wire)).exists()]
    assert [case for case in REQUESTS if about(case, wire).get("refused") is None] == outputs


@having(ASKED)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request(wire: str, case: str, stream: bool) -> None:
    """What goes upstream, and what of the request is listed as dropped."""
    expected = json.loads((GOLDEN / case / ASKED.format(wire)).read_text())
    told = about(case, wire)
    request, vendor = {**request_for(case), "stream": stream}, told.get("vendor", "generic")
    outcome = translated(request, vendor, dialect=WIRES[wire])
    sent = outcome.json
    options = sent.pop("stream_options", STREAM_OPTIONS[wire])
    assert (sent.pop("stream", False), options) == (stream, STREAM_OPTIONS[wire])
    assert re.fullmatch("[0-9a-f]{32}", sent.pop("prompt_cache_key", "0" * 32))
    expected.pop("prompt_cache_key", None)
    assert sent == expected
    assert sorted(outcome.dropped) == sorted(told.get("dropped", []))


@pytest.mark.parametrize(
    ("wire", "case"),
    [(wire, case) for wire in WIRES for case in REQUESTS if about(case, wire).get("refused") is not None],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_request(wire: str, case: str, stream: bool) -> None:
    """400 with the path, in Anthropic's words where it has some."""
    told = about(case, wire)
    request, vendor = {**request_for(case), "stream": stream}, told.get("vendor", "generic")
    outcome = translated(request, vendor, dialect=WIRES[wire], strict=told.get("strict", False))
    assert outcome.refusal == told["refused"]


@having(STREAMED)
@pytest.mark.parametrize("size", [10**9, 1, 7])
def test_a_stream(wire: str, case: str, size: int) -> None:
    """The events of an answer, whole and cut into pieces of any size."""
    told, data = about(case, wire), (GOLDEN / case / STREAMED.format(wire)).read_bytes()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    members = {name: value for name, value in request_for(case).items() if name != "stream"}
    driven = streamed(
        pieces, dialect=WIRES[wire], vendor=told.get("vendor"), headers=told.get("headers"), **members
    )
    if not (GOLDEN / case / "messages.sse").exists():
        same_error(case, driven)
        return
    expected = [event_of(frame) for frame in (GOLDEN / case / "messages.sse").read_bytes().split(b"\n\n")[:-1]]
    events = plain(checked(driven.body))
    usage = events[0]["message"]["usage"]
    if expected[0]["message"]["usage"]["input_tokens"] == 0:
        assert usage["input_tokens"] > 0, "an estimate, where nothing is known"
        usage["input_tokens"] = 0
    if driven.record.usage_source == "estimated" and events[-1]["type"] == "message_stop":
        events[-2]["usage"]["input_tokens"] = 0
    assert events == expected
    assert len(set(ids(checked(driven.body)))) == len(ids(events))
    assert sorted(driven.dropped) == sorted(told.get("dropped", []) + told.get("dropped_of_stream", []))


def event_of(frame: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(frame.partition(b"data: ")[2])
    return event


@having(ANSWERED)
def test_a_whole_answer(wire: str, case: str) -> None:
    """The message, or the error, that a body becomes."""
    told, data = about(case, wire), (GOLDEN / case / ANSWERED.format(wire)).read_bytes()
    members = {name: value for name, value in request_for(case).items() if name != "stream"}
    driven = answered(
        data,
        dialect=WIRES[wire],
        status=told.get("status", 200),
        headers=told.get("headers"),
        vendor=told.get("vendor"),
        **members,
    )
    if (GOLDEN / case / "error.json").exists():
        same_error(case, driven)
        return
    expected = json.loads((GOLDEN / case / "message.json").read_text())
    message = plain(driven.json)
    if driven.record.usage_source == "estimated":
        assert message["usage"]["input_tokens"] > 0
        message["usage"]["input_tokens"] = 0
    assert (driven.status, message) == (200, expected)
    assert len(set(ids(driven.json))) == len(ids(message))
    assert sorted(driven.dropped) == sorted(told.get("dropped", []) + told.get("dropped_of_answer", []))
