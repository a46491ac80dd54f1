"""Envelopes: doors whose address names the model, and whose body names the version of the API instead."""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.json_spans import members, spliced
from nexusflow_core.peek import rename_model
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.upstream import Headers, header

__all__ = ["Envelope", "Operation", "enveloped", "operation_of"]

Operation: TypeAlias = Literal["sync", "stream", "count_tokens"]

_PROFILE: Final = re.compile(
    r"^(?:arn:aws[\w-]*:bedrock:[\w-]+:\d*:inference-profile/)?[a-z-]+\.(?=anthropic\.)"
)
"""The part of an inference profile's name before the model."""

_BETA: Final = b"anthropic-beta"
_VERSION: Final = b"anthropic-version"


class Envelope(Struct, frozen=True, kw_only=True):
    """How such a door is asked. Paths are filled from the settings of an upstream, and with the model."""

    paths: Mapping[Operation, str]
    version: str
    """The `anthropic_version` in the body."""
    in_event_stream: bool = False
    """Streams come in AWS's framing. The path asks for them, and betas go into the body."""
    newer_versions: frozenset[str] = frozenset()
    """Versions of a client that are written into the body as they are."""

    def path(self, operation: Operation, model: str, place: Mapping[str, str]) -> str:
        """Returns the path. A slash in the model is escaped, a colon is not.

        InvokeModel counts for base models only, so the profile's part of the name is cut there.
        """
        if operation == "count_tokens" and self.in_event_stream:
            model = _PROFILE.sub("", model)
        return self.paths[operation].format_map({**place, "model": quote(model, safe=":@-._~")})


def operation_of(call: Call) -> Operation:
    """Returns what the call asks for."""
    if call.endpoint == "count_tokens":
        return "count_tokens"
    return "stream" if call.stream else "sync"


def enveloped(
    envelope: Envelope, call: Call, text: bytes, headers: Headers, model: str
) -> tuple[bytes, list[tuple[bytes, bytes]], tuple[str, ...]]:
    """Returns body and headers for the door, and the edits. `model` is the door's name for it.

    The version takes the model's place in the text, and all other bytes stay.
    """
    kept = [pair for pair in headers if pair[0] != _VERSION]
    if call.endpoint == "count_tokens" and not envelope.in_event_stream:
        return _counted(text, kept, model)
    wanted = (header(headers, _VERSION) or b"").decode("latin-1")
    version = wanted if wanted in envelope.newer_versions else envelope.version
    stated = any(name == "anthropic_version" for name, _, _ in members(text))
    member = b'"anthropic_version":' + msgspec.json.encode(version)
    changes: dict[str, bytes | None] = {"model": None if stated else member}
    edits = ["model", "anthropic_version"]
    if envelope.in_event_stream:
        names = {name for name, _, _ in members(text)}
        changes["stream"] = None
        edits += ["stream"] if "stream" in names else []
        if betas := _betas(kept, text):
            changes["model"] = b",".join(filter(None, (changes["model"], b'"anthropic_beta":' + betas)))
            changes["anthropic_beta"] = None
            edits.append("anthropic_beta")
        kept = [pair for pair in kept if pair[0] != _BETA]
    text = spliced(text, changes)
    if call.endpoint == "count_tokens":
        return _inside(text), kept, (*edits, "input.invokeModel.body")
    return text, kept, tuple(edits)


def _betas(headers: Headers, text: bytes) -> bytes | None:
    """Returns the betas in the headers and in the body as a JSON list, each once; None without headers."""
    listed = b",".join([value for name, value in headers if name == _BETA]).decode("latin-1")
    found = [name for part in listed.split(",") if (name := part.strip())]
    if not found:
        return None
    for name, start, end in members(text):
        if name == "anthropic_beta":
            try:
                found += msgspec.json.decode(text[start:end], type=list[str])
            except MALFORMED:
                pass  # the cloud refuses the body anyway
    return msgspec.json.encode(list(dict.fromkeys(found)))


def _inside(text: bytes) -> bytes:
    """Returns the body of a count: it holds a whole request, for which `max_tokens` is required."""
    if not any(name == "max_tokens" for name, _, _ in members(text)):
        opening = text.index(b"{") + 1
        more = b"" if text[opening:].lstrip().startswith(b"}") else b","
        text = text[:opening] + b'"max_tokens":1' + more + text[opening:]
    return msgspec.json.encode({"input": {"invokeModel": {"body": text}}})  # bytes become base64


def _counted(
    text: bytes, headers: list[tuple[bytes, bytes]], model: str
) -> tuple[bytes, list[tuple[bytes, bytes]], tuple[str, ...]]:
    """Returns a count's body, with the model's name but not its date. Betas are refused there."""
    kept = [pair for pair in headers if pair[0] != _BETA]
    edits = () if len(kept) == len(headers) else ("anthropic-beta",)
    return rename_model(text, model.partition("@")[0]), kept, ("model", *edits)
