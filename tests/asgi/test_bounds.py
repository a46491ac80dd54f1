"""Every bound on what a caller or an upstream decides: its number, and the test that goes over its edge and
stays just under it. docs/SECURITY.md lists this table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from nexusflow_asgi import call_log, calls, ledger, paths, runtime, stored_keys
from nexusflow_asgi.credentials import cache, libraries
from nexusflow_asgi.server import ServerLimits
from nexusflow_asgi.stores import key_store
from nexusflow_core import Limits, aws_eventstream, errors, json_spans, peek, record, routing, sse
from nexusflow_core.caching import checkpoints, doctor
from nexusflow_core.dialects.anthropic import relay
from nexusflow_core.dialects.openai_chat import tool_calls
from nexusflow_core.exchange import outcome
from nexusflow_core.ledger import rows as ledger_rows
from nexusflow_core.prices import book
from nexusflow_core.resilience import CircuitMemory
from nexusflow_core.translation import error_bodies, held, losses, stops
from nexusflow_core.upstream import headers, keys
from nexusflow_core.usage import merge

ROOT = Path(__file__).parent.parent.parent
LIMITS = Limits()
SERVER = ServerLimits()
EDGES = "tests/asgi/test_edges.py"
CHECKPOINT = "tests/core/caching/test_checkpoints.py::test_a_request_has_a_bound"


class Bound(NamedTuple):
    """`number` as it stands here and `held` as the code has it; `beyond` says what happens over the edge."""

    what: str
    number: int
    unit: str
    held: int
    beyond: str
    test: str


BOUNDS = [
    # requests
    Bound(
        "a path",
        2048,
        "characters",
        paths.MAX_PATH,
        "414",
        "tests/asgi/test_paths.py::test_the_length_of_a_path_has_a_bound",
    ),
    Bound(
        "headers and query",
        131_072,
        "bytes",
        LIMITS.header_bytes,
        "413",
        "tests/asgi/test_limits.py::test_headers_have_a_bound",
    ),
    Bound(
        "a body, as sent and inflated",
        33_554_432,
        "bytes",
        LIMITS.body_bytes,
        "413",
        "tests/asgi/test_limits.py::test_an_inflation_bomb",
    ),
    Bound(
        "members of a gzip body",
        100,
        "members",
        peek._MAX_GZIP_MEMBERS,
        "400",
        "tests/asgi/test_limits.py::test_a_bomb_of_many_members",
    ),
    Bound(
        "members of a body",
        1000,
        "at the top",
        json_spans.MAX_MEMBERS,
        "400",
        "tests/core/test_peek.py::test_a_body_that_cannot_be_routed_says_why",
    ),
    Bound(
        "a model's name",
        1000,
        "characters",
        peek.MAX_MODEL,
        "400",
        "tests/core/test_peek.py::test_a_models_name_has_a_bound",
    ),
    Bound(
        "a body that we decode: translated, estimated, or with our thinking signatures",
        250_000,
        "JSON values",
        LIMITS.body_values,
        "413",
        "tests/asgi/test_large_bodies.py::test_more_values_than_the_bound_are_refused",
    ),
    Bound(
        "stop sequences of a translated call",
        256,
        "sequences",
        stops.MAX_STOPS,
        "400",
        f"{EDGES}::test_stop_sequences",
    ),
    Bound(
        "stop sequences together",
        16_384,
        "characters",
        stops.MAX_STOP_CHARS,
        "400",
        f"{EDGES}::test_stop_sequences",
    ),
    Bound(
        "`nexusflow serve`: a head, while it arrives",
        163_840,
        "bytes",
        SERVER.head_bytes,
        "431",
        "tests/asgi/test_server_protocol.py::test_headers_that_never_end",
    ),
    Bound(
        "`nexusflow serve`: framing of a chunked body without content",
        163_840,
        "bytes",
        SERVER.head_bytes,
        "the connection is cut",
        "tests/asgi/test_server_protocol.py::test_framing_that_never_ends",
    ),
    Bound(
        "`nexusflow serve`: a URL",
        16_384,
        "bytes",
        SERVER.url_bytes,
        "414",
        "tests/asgi/test_server_protocol.py::test_a_url_that_is_too_long",
    ),
    Bound(
        "`nexusflow serve`: connections without a request",
        4096,
        "connections",
        SERVER.waiting,
        "the oldest is closed",
        "tests/asgi/test_server_protocol.py::test_connections_without_a_request_are_bounded",
    ),
    Bound(
        "`nexusflow serve`: bytes that a client sends ahead of its answer",
        65_536,
        "bytes",
        SERVER.held_bytes,
        "waits until the answer is out",
        "tests/asgi/test_server_protocol.py::test_a_pipelined_body_beyond_what_is_held",
    ),
    # work
    Bound(
        "calls at once",
        5000,
        "calls",
        LIMITS.calls,
        "they wait",
        "tests/asgi/test_limits.py::test_beyond_the_queue_a_call_is_refused",
    ),
    Bound(
        "calls at once of one caller",
        5000,
        "calls",
        LIMITS.calls_per_key,
        "they wait",
        "tests/asgi/test_limits.py::test_one_caller_cannot_take_every_place",
    ),
    Bound(
        "calls that wait",
        1000,
        "calls",
        LIMITS.queue,
        "529",
        "tests/asgi/test_limits.py::test_beyond_the_queue_a_call_is_refused",
    ),
    Bound(
        "a body that is decoded on the event loop",
        65_536,
        "bytes",
        calls.LARGE_BODY,
        "decoded in a thread",
        "tests/asgi/test_large_bodies.py::test_a_large_body_is_translated_beside_the_loop",
    ),
    Bound(
        "threads that decode",
        2,
        "threads per loop",
        runtime.WORKERS,
        "calls wait for one",
        f"{EDGES}::test_threads_that_decode",
    ),
    # answers
    Bound(
        "an event of a stream",
        33_554_432,
        "bytes",
        sse.MAX_EVENT_BYTES,
        "translated: 502; relayed: not metered",
        "tests/core/test_sse.py::test_an_event_over_the_bound_is_a_typed_error",
    ),
    Bound(
        "the payload of a frame of AWS's event stream",
        25_165_824,
        "bytes",
        aws_eventstream.MAX_PAYLOAD_BYTES,
        "502, or an error event",
        "tests/core/test_aws_eventstream.py::test_damage_is_seen_at_once",
    ),
    Bound(
        "the headers of such a frame",
        131_072,
        "bytes",
        aws_eventstream.MAX_HEADER_BYTES,
        "502, or an error event",
        "tests/core/test_aws_eventstream.py::test_damage_is_seen_at_once",
    ),
    Bound(
        "a fetched credential",
        65_536,
        "bytes",
        cache.MAX_BYTES,
        "502",
        "tests/asgi/credentials/test_host.py::test_a_credential_that_cannot_be_sent_is_a_failure",
    ),
    Bound(
        "the answer of Google's token server",
        1_048_576,
        "bytes",
        libraries.MAX_ANSWER_BYTES,
        "502",
        "tests/asgi/credentials/test_libraries.py::test_the_request_to_a_token_server_is_bounded",
    ),
    Bound(
        "refreshes of an upstream's credential that hang",
        4,
        "refreshes",
        cache.MAX_LOST,
        "502",
        "tests/asgi/credentials/test_libraries.py::test_refreshes_that_hang_are_bounded",
    ),
    Bound(
        "a relayed sync answer that is held",
        16_777_216,
        "bytes",
        relay.HELD_BYTES,
        "passes unmetered",
        f"{EDGES}::test_a_large_relayed_answer",
    ),
    Bound(
        "the held part of a translated answer",
        16_777_216,
        "bytes",
        held.HELD_BYTES,
        "502, or an error event",
        "tests/core/openai_chat/test_held.py::test_what_cannot_go_out_is_bounded",
    ),
    Bound(
        "tool calls of a translated stream",
        256,
        "calls",
        tool_calls._MAX_CALLS,
        "left out and listed",
        f"{EDGES}::test_calls_of_an_answer",
    ),
    Bound(
        "unknown members of usage",
        64,
        "members",
        merge.MAX_USAGE_MEMBERS,
        "left out",
        f"{EDGES}::test_members_of_usage",
    ),
    Bound(
        "a usage object",
        65_536,
        "bytes",
        merge.MAX_USAGE_BYTES,
        "only known members count",
        f"{EDGES}::test_a_long_usage_object",
    ),
    Bound(
        "an upstream's message in an error of ours",
        2000,
        "characters",
        keys._LONGEST,
        "cut",
        f"{EDGES}::test_messages_of_errors",
    ),
    Bound(
        "the part of such a message that we read",
        16_384,
        "characters",
        keys._READ,
        "cut before it is read",
        f"{EDGES}::test_messages_of_errors",
    ),
    Bound(
        "a type or code in an upstream's error",
        200,
        "characters",
        error_bodies._LONGEST_WORD,
        "cut",
        f"{EDGES}::test_words_of_errors",
    ),
    Bound(
        "nested errors in an upstream's error",
        8,
        "errors",
        error_bodies._DEEPEST,
        "not read",
        f"{EDGES}::test_errors_inside_of_errors",
    ),
    Bound(
        "any message to a client",
        4000,
        "characters",
        errors.MAX_MESSAGE,
        "cut",
        f"{EDGES}::test_messages_of_errors",
    ),
    # records
    Bound(
        "`dropped`, and `edits`",
        100,
        "entries",
        record.MAX_LISTED,
        "then `and N more`",
        f"{EDGES}::test_lists_of_a_record",
    ),
    Bound(
        "a path in `dropped`", 200, "characters", losses._MAX_PATH, "cut", f"{EDGES}::test_lists_of_a_record"
    ),
    Bound(
        "`x-nexusflow-warning`",
        1000,
        "characters",
        losses._MAX_WARNING,
        "then `and N more`",
        f"{EDGES}::test_the_warning",
    ),
    Bound(
        "a name or word of a client or an upstream",
        256,
        "characters",
        outcome.MAX_TEXT,
        "cut",
        f"{EDGES}::test_words_of_a_record",
    ),
    Bound("an error's type", 100, "characters", errors.MAX_TYPE, "cut", f"{EDGES}::test_words_of_a_record"),
    Bound(
        "lines of the call log that wait for the disk",
        100_000,
        "lines",
        call_log._MAX_WAITING,
        "counted and dropped",
        "tests/asgi/test_call_log.py::test_a_disk_that_is_too_slow",
    ),
    Bound(
        "records that wait for the ledger's database",
        100_000,
        "records",
        ledger.MAX_WAITING,
        "counted and dropped",
        "tests/asgi/stores/test_ledger.py::test_more_records_than_may_wait_are_counted",
    ),
    Bound(
        "JSON in a row of the ledger",
        8_000,
        "characters",
        ledger_rows._DETAILS,
        "left out and flagged",
        "tests/core/ledger/test_ledger.py::test_a_row_is_narrow",
    ),
    Bound(
        "keys above a child key",
        3,
        "keys",
        key_store.MAX_PARENTS,
        "refused",
        "tests/asgi/stores/test_keys.py::test_a_family_has_a_bound",
    ),
    # tables of a process
    Bound(
        "gateway keys that are remembered after they were looked up",
        10_000,
        "keys",
        stored_keys.MOST,
        "the first is forgotten",
        "tests/asgi/stores/test_keys.py::test_the_remembered_keys_have_a_bound",
    ),
    Bound(
        "targets that cool down",
        10_000,
        "targets",
        CircuitMemory()._most,
        "the first is forgotten",
        "tests/core/test_resilience.py::test_the_memory_is_bounded",
    ),
    Bound(
        "remembered prices",
        4096,
        "models",
        book._MAX_REMEMBERED,
        "all are forgotten",
        f"{EDGES}::test_remembered_prices",
    ),
    Bound(
        "remembered names of models that a pattern matches",
        512,
        "names",
        routing._REMEMBERED,
        "others are matched again",
        "tests/core/test_routing.py::test_the_remembered_names_have_a_bound",
    ),
    Bound(
        "remembered lists of the names of an answer's headers",
        256,
        "lists",
        headers._MOST_HEADS,
        "all are forgotten",
        "tests/core/test_upstream.py::test_the_remembered_lists_of_names_have_a_bound",
    ),
    # the cache doctor
    Bound("a body that it reads", 4_194_304, "bytes", checkpoints.MAX_BYTES, "not explained", CHECKPOINT),
    Bound("its values", 50_000, "JSON values", checkpoints.MAX_VALUES, "not explained", CHECKPOINT),
    Bound("its blocks", 2_048, "blocks", checkpoints.MAX_BLOCKS, "not explained", CHECKPOINT),
    Bound(
        "conversations that the cache doctor remembers",
        1_024,
        "conversations",
        checkpoints.MAX_SESSIONS,
        "the first is forgotten",
        "tests/core/caching/test_checkpoints.py::test_conversations_and_blocks_have_a_bound",
    ),
    Bound(
        "their blocks together",
        65_536,
        "blocks",
        checkpoints.MAX_HELD_BLOCKS,
        "the first is forgotten",
        "tests/core/caching/test_checkpoints.py::test_conversations_and_blocks_have_a_bound",
    ),
    Bound(
        "cache entries, and sizes of prefixes, that it remembers",
        16_384,
        "each",
        doctor.MAX_ENTRIES,
        "the first is forgotten",
        "tests/core/caching/test_doctor.py::test_memory_has_a_bound",
    ),
]


def table() -> str:
    """Returns the bounds as docs/SECURITY.md lists them."""
    lines = ["| bound | number | beyond it |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {it.what} | {it.number:,} {it.unit} | {it.beyond} |" for it in BOUNDS])


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.what)
def test_each_bound_is_the_codes_and_has_its_test(bound: Bound) -> None:
    """A number that changes in the code changes here, and in docs/SECURITY.md."""
    assert bound.held == bound.number
    file, _, name = bound.test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), bound.test
