"""Responses as OpenAI checks them, and stricter: what this gateway promises to send is demanded.

`simulate thoughts between` in the last user text makes the model say and think something before each call.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.simulator import openai_responses
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import SimulatedResponse, decode_body
from nexusflow_core.simulator.openai_responses import Answer, Item, answer_to, read_responses
from nexusflow_core.upstream import Headers
from tests.simulator.openai_chat.checks import Refused
from tests.simulator.openai_responses.history import check_history, sealed
from tests.simulator.openai_responses.items import check_items
from tests.simulator.openai_responses.replies import reply_to
from tests.simulator.openai_responses.request import check_request

__all__ = ["create_response"]


def create_response(headers: Headers, body: bytes, cache: CacheAt) -> SimulatedResponse:
    """POST /v1/responses."""
    return replace(openai_responses.create_response, answer=_answer)(headers, body, cache)


def _answer(body: bytes, cache: CacheAt) -> Any:
    request = read_responses(body)
    _check(body)
    plain = answer_to(request, reply_to(request), body, cache)
    sealing = SealedAnswer(plain.request, plain.reply, plain.prompt, plain.body)
    return sealing if request.stream else sealing.whole()


class SealedAnswer(Answer, frozen=True):
    """The product's answer. Its encrypted reasoning names the summary's hash and the next item, for checks."""

    def items(self) -> list[Item]:
        items = super().items()
        for item, follower in pairwise([*items, {}]):
            if "encrypted_content" in item:
                texts = "\n".join(part["text"] for part in item["summary"])
                summary = hashlib.sha256(texts.encode()).hexdigest()
                led_to = follower.get("call_id") or follower.get("type")
                item["encrypted_content"] = sealed(f"simulated.{item['id']}.{summary}.{led_to}")
        return items


def _check(body: bytes) -> None:
    fields = decode_body(body)
    try:
        check_request(fields)
        check_history(read_responses(body).items)
        check_items(fields)
    except Refused as error:
        details = {"param": error.param, "code": error.code}
        raise InvalidRequestError(error.message, details=details) from None
