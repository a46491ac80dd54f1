"""The table of log formats: what tells each, and its reader."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from nexusflow_core.logs.answers import read_answer, read_anthropic_batch, read_openai_batch
from nexusflow_core.logs.anthropic_reports import read_bucket, read_item
from nexusflow_core.logs.call_log import read_log_line, read_record
from nexusflow_core.logs.codex import CodexSession
from nexusflow_core.logs.entry import Entry, Skipped
from nexusflow_core.logs.litellm import read_spend_log
from nexusflow_core.logs.openai_reports import read_openai_bucket
from nexusflow_core.logs.opencode import read_message
from nexusflow_core.logs.openrouter import read_activity, read_generation
from nexusflow_core.logs.otel_spans import read_spans
from nexusflow_core.logs.transcripts import TranscriptSession
from nexusflow_core.logs.usage_lines import read_usage_line

__all__ = ["FORMS", "IMPORTERS", "Form", "Importer", "Session", "form_of"]

Rows: TypeAlias = Entry | Iterable[Entry | Skipped]

Read: TypeAlias = Callable[[bytes, datetime | None], Rows]
"""`read(value, at)` returns an Entry, or several. `at` applies to a value without a time. Raises
NotAnEntryError, InvalidUsageError or an error of msgspec's."""


class Session(Protocol):
    """The reader of a format whose lines depend on each other: one for each file."""

    def take(self, value: bytes) -> Iterable[Entry | Skipped]:
        """Reads a line. Yields the calls that it completes, or a Skipped with the reason."""
        ...

    def finish(self) -> Iterable[Entry | Skipped]:
        """Yields the calls that were waiting for later lines."""
        ...


class Form(Struct, frozen=True):
    """The members that every value of a form has, and its reader."""

    members: frozenset[str]
    read: Read | None = None
    session: Callable[[], Session] | None = None


class Importer(Struct, frozen=True):
    """A log format: what it is and where it is found, in words, and its forms."""

    about: str
    found: str
    forms: tuple[Form, ...]


def _members(names: str) -> frozenset[str]:
    return frozenset(names.split())


_TRANSCRIPT = (
    "type sessionId",
    "type parentUuid",
    "type leafUuid",
    "type isSidechain",
    "type isSnapshotUpdate",
)

IMPORTERS: Final[Mapping[str, Importer]] = {
    "call-log": Importer(
        "the call log of this gateway",
        "`[log]` in the configuration",
        (Form(_members("schema request_id"), read_record),),
    ),
    "claude-code": Importer(
        "transcripts of Claude Code",
        "`~/.claude/projects`",
        tuple(Form(_members(names), session=TranscriptSession) for names in _TRANSCRIPT),
    ),
    "codex": Importer(
        "sessions of Codex CLI",
        "`~/.codex/sessions`",
        (Form(_members("timestamp type payload"), session=CodexSession),),
    ),
    "opencode": Importer(
        "messages of opencode",
        "`~/.local/share/opencode/storage/message`",
        (Form(_members("id sessionID role"), read_message),),
    ),
    "anthropic-batch": Importer(
        "results of a Message Batch",
        "`GET /v1/messages/batches/ID/results`; has no time: give one with `--at`",
        (Form(_members("custom_id result"), read_anthropic_batch),),
    ),
    "openai-batch": Importer(
        "output of an OpenAI batch",
        "the batch's `output_file_id`",
        (Form(_members("custom_id response"), read_openai_batch),),
    ),
    "anthropic-report": Importer(
        "Anthropic's usage and cost reports",
        "`GET /v1/organizations/usage_report/messages`, `cost_report`, `analytics/usage`, `analytics/cost`",
        (Form(_members("starting_at results"), read_bucket), Form(_members("starting_at group"), read_item)),
    ),
    "openai-report": Importer(
        "OpenAI's usage and cost reports",
        "`GET /v1/organization/usage/completions`, `costs`",
        (
            Form(_members("start_time results"), read_openai_bucket),
            Form(_members("start_time result"), read_openai_bucket),
        ),
    ),
    "otel": Importer(
        "OpenTelemetry GenAI spans as OTLP JSON",
        "the collector's file exporter",
        (Form(_members("resourceSpans"), read_spans), Form(_members("scopeSpans"), read_spans)),
    ),
    "openrouter": Importer(
        "OpenRouter's generations and activity",
        "`GET /api/v1/generation`, `/api/v1/activity`",
        (
            Form(_members("id model created_at native_tokens_prompt"), read_generation),
            Form(_members("date usage provider_name"), read_activity),
        ),
    ),
    "litellm": Importer(
        "LiteLLM's spend logs",
        "`GET /spend/logs`, or the table `LiteLLM_SpendLogs`",
        (Form(_members("request_id startTime model"), read_spend_log),),
    ),
    "answer": Importer(
        "answers of Anthropic's and OpenAI's APIs",
        "Messages, Chat Completions, Responses; messages have no time: give one with `--at`",
        (
            Form(_members("object model usage"), read_answer),
            Form(_members("type role content model usage"), read_answer),
        ),
    ),
    "usage": Importer(
        "lines with `usage` and `model`",
        "your own logs; see below",
        (Form(_members("usage model"), read_usage_line),),
    ),
    "serve-log": Importer(
        "log lines of `nexusflow serve --log-format json`",
        "its stderr",
        (
            Form(_members("time level logger call"), read_log_line),
            Form(_members("time level logger message"), read_log_line),
        ),
    ),
}
"""By name. A value belongs to the first form whose members it has, so more specific formats come first."""

FORMS: Final = tuple(form for importer in IMPORTERS.values() for form in importer.forms)
"""The forms of all importers, in their order."""


def form_of(names: Iterable[str], source: str | None = None) -> Form | None:
    """Returns the form with these members: of the importer `source`, or of all. None if there is none.

    A named importer is not doubted: its first form reads whatever matches none. Raises KeyError for an unknown
    `source`.
    """
    own = frozenset(names)
    forms = FORMS if source is None else IMPORTERS[source].forms
    found = next((form for form in forms if form.members <= own), None)
    return forms[0] if found is None and source is not None else found
