"""The wire protocols, by their names in the configuration. Each is loaded when a configuration names it."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Final

from nexusflow_core.dialect import UpstreamDialect

__all__ = ["DIALECTS", "OPTIONS"]

OPTIONS: Final = frozenset(
    """
    strict images tool_images server_tools server_tools.carry max_tokens count_tokens
    thinking threads door region project workspace resource headers betas
    """.split()
)
"""All settings that only some dialects use."""


def _anthropic() -> UpstreamDialect:
    from nexusflow_core.dialects.anthropic import AnthropicDialect

    return AnthropicDialect(lambda: DIALECTS["openai-chat"].vendors)  # several of them speak both protocols


def _openai_chat() -> UpstreamDialect:
    from nexusflow_core.dialects.openai_chat import OpenAIChatDialect

    return OpenAIChatDialect()


def _openai_responses() -> UpstreamDialect:
    from nexusflow_core.dialects.openai_responses import OpenAIResponsesDialect

    return OpenAIResponsesDialect()


_OURS: Final[Mapping[str, Callable[[], UpstreamDialect]]] = {
    "anthropic": _anthropic,
    "openai-chat": _openai_chat,
    "openai-responses": _openai_responses,
}


class _OnFirstUse(MutableMapping[str, UpstreamDialect]):
    """Dialects by name. Ours are imported on first use: each is half of this package."""

    def __init__(self) -> None:
        self._loaded: dict[str, UpstreamDialect | None] = dict.fromkeys(_OURS)

    def __getitem__(self, name: str) -> UpstreamDialect:
        dialect = self._loaded[name]
        if dialect is None:
            dialect = self._loaded[name] = _OURS[name]()
        return dialect

    def __setitem__(self, name: str, dialect: UpstreamDialect) -> None:
        self._loaded[name] = dialect

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


DIALECTS: Final[MutableMapping[str, UpstreamDialect]] = _OnFirstUse()
