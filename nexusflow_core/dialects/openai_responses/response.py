"""Translates a whole Responses answer to a Message: as a stream that has its end only."""

import msgspec

from nexusflow_core.dialects.openai_responses.errors import error_of_answer, error_of_body
from nexusflow_core.dialects.openai_responses.schema import Response, decode_response
from nexusflow_core.dialects.openai_responses.stream import ResponsesStream
from nexusflow_core.errors import AnswerUnusableError, UpstreamError
from nexusflow_core.translation.answer import Answer, fold
from nexusflow_core.translation.error_bodies import ErrorTold
from nexusflow_core.translation.stream import unread

__all__ = ["read_answer", "translate_answer"]


def read_answer(body: bytes) -> Response | ErrorTold:
    """Returns the answer in a body, or its error. Raises UpstreamError for anything else."""
    try:
        response = decode_response(body)
    except msgspec.DecodeError as error:
        raise unread(f"the upstream's answer is {error}", body) from None
    if (told := error_of_answer(response)) is not None:
        return told
    if not response.is_answer:
        told = error_of_body(body)
        if not told.message:
            raise AnswerUnusableError("the upstream's answer has no output")
        return told
    if response.unfinished:
        raise AnswerUnusableError(f"the upstream's answer is not finished: {response.unfinished}")
    return response


def translate_answer(response: Response, stream: ResponsesStream) -> Answer:
    """Returns the Message of an answer. `stream` is a new one. Raises UpstreamError for an unusable answer."""
    out = stream.end(response)
    if isinstance(stream.failure, UpstreamError):
        raise stream.failure
    noticed = list(stream.noticed)
    content, how = fold(out, noticed)
    return Answer(content, how, stream.usage() or {}, stream.estimated, stream.billing, noticed)
