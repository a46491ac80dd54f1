"""A prompt that is too long for the model, in each vendor's words: agents shorten it on Anthropic's."""

from typing import Any

import pytest

from nexusflow_core.overflow import too_long
from tests.core.translation.driving import Driven, answered, chunks, error, sse, streamed

WORDINGS = """
This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.
Your input exceeds the context window of this model. Please adjust your input and try again.
prompt is too long: 210000 tokens > 200000 maximum
input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or max
The input token count (1200) exceeds the maximum number of tokens allowed (1000).
The input token count exceeds the maximum number of tokens allowed 1048576.
Unable to submit request because the input token count is 1200 but model only supports up to 1000. Reduce it.
Input is too long for requested model.
Too many input tokens. Max input tokens: 8192, request input token count: 9000
Input Tokens Exceeded: Number of input tokens exceeds maximum length.
too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000
too many tokens: size limit exceeded by 1200 tokens. Try using shorter or fewer inputs
Prompt contains 45000 tokens and 0 draft tokens, too large for model with 32768 maximum context length
Please reduce the length of the messages or completion. Current length is 8193 while limit is 8192
Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20
Input validation error: `inputs` must have less than 1024 tokens. Given: 2000
The prompt is too long: 20000, model maximum context length: 16384
The input (1200 tokens) is longer than the model's context length (1000 tokens).
Requested token count exceeds the model's maximum context length of 1000 tokens. You requested a total of 1200.
The decoder prompt (length 1200) is longer than the maximum model length of 1000. Make sure that `max_model_len`
The prompt (total length 1200) is too long to fit into the model (context length 1000).
Input prompt (1200 tokens) is too long and exceeds limit of 1000
max_tokens must be at least 1, got -200.
However, the model's context length is only 1000 tokens, resulting in a maximum input length of 900 tokens.
the request exceeds the available context size, try increasing it
request (1200 tokens) exceeds the available context size (1000 tokens), try increasing it
input is too large to process. increase the physical batch size
Prompt length (1200) exceeds maximum input length (1000). Set log level to info and check TRTGptModel logs
The sum of prompt length (1200.0), query length (0) and max_tokens (100) should not exceed max_num_tokens (1000)
prompt too long; exceeded max context length by 200 tokens
the input length exceeds the context length
The number of tokens to keep from the initial prompt is greater than the context length.
Trying to keep the first 1200 tokens when context the overflows. However, the model is loaded with 1000 tokens
Reached context length of 4096 tokens with this model
prompt token count of 1200 exceeds the limit of 1000
input length 1200 exceeds the maximum allowed input length of 1000 tokens
invalid params, context window exceeds limit (2013)
Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)
Range of input length should be [1, 129024]
<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 1000]
Prompt exceeds max length
Prompt 超长
This model's maximum prompt length is 131072 but the request contains 537812 tokens.
litellm.ContextWindowExceededError: litellm.BadRequestError
Requested tokens (1200) exceed context window of 1000
The estimated number of input and maximum output tokens (5000) exceeded this model context window limit (4096).
the number of input tokens 1200 cannot exceed the total tokens limit 1000 for this model
Input length 1200 exceeds the maximum length 1000
Prompt length 1200 is greater than max_seq_len 1000
Requested 1200 tokens exceed maximum sequence length 1000
Model context limit exceeded
Conversation is too long
Total tokens of image and text exceed max message tokens
This request exceeds the maximum context length
The request exceeds this model's context length
The total number of tokens exceeds the context size of the model
Tokens in the prompt exceed the limit
Your prompt has too many tokens
The prompt length exceeds the model's limit
max tokens of 8192 exceeded
""".strip().splitlines()

OTHERS = """
max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you gave 100000.
max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for this model
Rate limit reached for gpt-4 on tokens per min (TPM): Limit 30000, Used 29000, Requested 3000.
Request too large for gpt-4 on tokens per min (TPM): Limit 30000, Requested 45000. The input must be reduced.
Too many tokens, please wait before trying again.
Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got 50.
Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 200.
Range of max_tokens should be [1, 8192]
Invalid 'stop': maximum length of array is 4
The max_tokens value exceeds the maximum number of output tokens
Your input image is too large
messages.0.content.1.image.source.base64: image exceeds 5 MB maximum
the value of max_tokens exceeds the limit
input image size exceeds the limit
You exceeded your current quota: input token count exceeds the limit of the free tier
Insufficient Balance
number of tokens in the completion exceeds limit
max_completion_tokens exceeds the model's maximum output
Prompt must be at least 1 token
Quota exceeded for quota metric 'Generate Content API requests per minute'
The tool description is too long
""".strip().splitlines()


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_vendors_wording(wording: str) -> None:
    """Whatever the case of its letters."""
    assert too_long(wording)
    assert too_long(wording.upper())


@pytest.mark.parametrize("wording", OTHERS)
def test_other_limits(wording: str) -> None:
    """Of the output, of a rate, of a member: a shorter conversation would not help."""
    assert not too_long(wording)


def overflows(driven: Driven, status: int = 400) -> None:
    assert driven.status == status
    shown = driven.json["error"]
    assert (shown["type"], shown["message"][:20]) == ("invalid_request_error", "prompt is too long: ")


LM_STUDIO = "The number of tokens to keep from the initial prompt is greater than the context length."
PROVIDERS = '{"error":{"message":"Input is too long for requested model.","code":400}}'
BODIES: list[Any] = [
    error(LM_STUDIO),
    {"error": LM_STUDIO},
    {"message": LM_STUDIO},
    {"detail": LM_STUDIO},
    error("Prompt exceeds max length", code="1261"),
    error("too much", code=1261),
    error("too much", code="context_length_exceeded"),
    error("too much", code="model_max_prompt_tokens_exceeded"),
    error("Provider returned error", code=400, metadata={"raw": PROVIDERS, "provider_name": "Bedrock"}),
    error("Provider returned error", code=400, metadata={"raw": "Input is too long for requested model."}),
    error("Provider returned error", code=400, metadata={"raw": {"message": LM_STUDIO}}),
    error("Provider returned error", code=400, metadata={"raw": {"error": {"message": LM_STUDIO}}}),
]


@pytest.mark.parametrize("status", [400, 413, 422, 500])
@pytest.mark.parametrize("body", BODIES)
def test_an_error_answer(body: Any, status: int) -> None:
    """With the status that a vendor has for it; llama.cpp and others have 500."""
    overflows(answered(body, status=status))


@pytest.mark.parametrize("body", BODIES[:2] + BODIES[4:])
def test_an_error_at_200(body: Any) -> None:
    """Whole, for a stream, and inside of one: nothing can come of the same request elsewhere either."""
    overflows(answered(body))
    overflows(streamed(sse([body])))
    begun = streamed(sse([*chunks({"content": "So"}, finish=None), body])).body
    assert b"prompt is too long: " in begun.rpartition(b"event: error")[2]


@pytest.mark.parametrize("status", [401, 402, 403, 429, 503])
def test_another_status_says_what_is_wrong(status: int) -> None:
    """A limit over time may speak of the same numbers."""
    assert b"prompt is too long" not in answered(error(LM_STUDIO), status=status).body


def test_a_repeated_prompt_is_not_searched_to_its_end() -> None:
    """Its vendor's words stand in front of it."""
    assert too_long("Prompt exceeds max length: " + "x" * 10_000_000)
    assert not too_long("x" * 10_000_000 + "Prompt exceeds max length")
