"""What the README shows of the code: `python -m tests.readme` writes it anew between its markers."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from nexusflow_core import Attempt, CallRecord, Limits, Timeouts

README = Path(__file__).parent.parent / "README.md"


def settings() -> str:
    """The settings with a default, and the defaults."""
    rows = [
        ("upstreams.NAME.connections", "connections held at once", 1000),
        *(
            (f"upstreams.NAME.timeouts.{name}", about, getattr(Timeouts(), name))
            for name, about in _TIMEOUTS.items()
        ),
        *((f"limits.{name}", about, getattr(Limits(), name)) for name, about in _LIMITS.items()),
    ]
    lines = ["| setting | what | default |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| `{name}` | {about} | {default} |" for name, about, default in rows])


_TIMEOUTS = {
    "connect": "seconds to get a connection",
    "first_byte": "seconds from sending to the first event, or the first byte of a sync answer",
    "idle": "seconds between two reads",
    "total": "seconds of one attempt",
    "grace": "seconds from `message_stop` to the end of the connection",
}
_LIMITS = {
    "body_bytes": "bytes of a request, as sent and after inflation",
    "body_seconds": "seconds that a request's body may take to arrive",
}


def record() -> str:
    """An example record as the call log has it."""
    attempt = Attempt(upstream="anthropic", model="claude-opus-4-7", status=200, reason="", duration=2.731)
    example = CallRecord(
        request_id="req_2b9f5c1d7e8a4f60b3c1d2e4",
        upstream_request_id="req_011CaPHbV2kZ",
        started_at=datetime(2026, 11, 22, 10, 30, 0, tzinfo=UTC),
        duration=2.742,
        time_to_first_byte=0.412,
        endpoint="messages",
        model="claude-opus-4-7",
        response_model="claude-opus-4-7",
        route="claude-*",
        principal="NEXUSFLOW_KEY",
        metadata={},
        stream=True,
        status=200,
        error_type=None,
        ending="complete",
        attempts=(attempt,),
        usage={"input_tokens": 50, "cache_read_input_tokens": 100000, "output_tokens": 500},
        usage_source="upstream",
        service_tier="standard",
        speed=None,
        inference_geo="global",
        dropped=(),
        edits=(),
    )
    return f"```json\n{msgspec.json.format(msgspec.json.encode(example), indent=2).decode()}\n```"


BLOCKS: dict[str, Callable[[], str]] = {"settings": settings, "record": record}


def regenerated(text: str) -> str:
    """The README's text with each block between its markers made anew."""

    def fill(match: re.Match[str]) -> Any:
        return f"<!-- docs: {match[1]} -->\n{BLOCKS[match[1]]()}\n<!-- /docs -->"

    return re.sub(r"<!-- docs: (\w+) -->\n.*?<!-- /docs -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(regenerated(README.read_text()))
