"""Refusals of a cloud that its row does not know: a 400 that names a member or betas of the request.

The call is repeated once without exactly these. Clouds accept other fields every month, and clients send new
ones sooner than the table knows them.
"""

import re
from typing import Final

from nexusflow_core.call import Call
from nexusflow_core.dialects.anthropic.doors import DOORS, Door
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import members
from nexusflow_core.translation.error_bodies import read_error_body
from nexusflow_core.upstream import Upstream

__all__ = ["refused_before", "refused_parts"]

_MEMBER: Final = re.compile(r"(?<![\w.])([A-Za-z_]\w{0,99}): Extra inputs are not permitted")
"""A member at the top level. One inside a message or a tool has a path before it, with dots."""
_BETAS: Final = re.compile(r"Unexpected value\(s\) (.{1,4000}?) for the `?anthropic-beta`? header", re.S)
_NAME: Final = re.compile(r"`([^`\s]{1,100})`")

_READ: Final = 16 * 1024
"""Bytes of an error that are read: it may repeat the prompt."""

_DECISIVE: Final = frozenset(
    """model max_tokens messages system tools tool_choice stop_sequences stream temperature top_p top_k thinking
    output_config output_format mcp_servers container inference_geo thread anthropic_version
    anthropic_beta""".split()
)
"""Members that decide the answer, or that we write. The refusal of one is the answer."""


def refused_before(call: Call, upstream: Upstream) -> frozenset[str]:
    """Returns the members and betas that this upstream refused in an earlier attempt of the call."""
    mark = f"{upstream.name}/"
    return frozenset(part.removeprefix(mark) for part in call.without if part.startswith(mark))


def refused_parts(call: Call, upstream: Upstream, body: bytes) -> tuple[str, ...]:
    """Returns the parts of the call that a 400 with this body names, in the form of `Call.without`.

    () if it names none that can be left out, in a second attempt, and where the door filters nothing.
    """
    door = DOORS[upstream.door or ""]
    filters = upstream.betas == "filter" and door.betas is not None
    if not filters or len(body) > _READ or refused_before(call, upstream):
        return ()
    message = read_error_body(body).message
    found = {name for name in _MEMBER.findall(message) if name not in _DECISIVE} & _members(call.text)
    if listed := _BETAS.search(message):
        found |= _betas(call, door) & set(_NAME.findall(listed[1]))
    return tuple(f"{upstream.name}/{name}" for name in sorted(found))


def _betas(call: Call, door: Door) -> set[str]:
    """Returns the client's betas, under their own names and under the door's."""
    values = [value.decode("latin-1") for name, value in call.headers if name == b"anthropic-beta"]
    sent = {beta.strip() for beta in ",".join(values).split(",")}
    return sent | {door.renamed_betas[beta] for beta in sent & door.renamed_betas.keys()}


def _members(text: bytes) -> set[str]:
    try:
        return {name for name, _, _ in members(text)}
    except InvalidRequestError:
        return set()
