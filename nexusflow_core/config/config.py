"""Config: everything a gateway is configured with, built by hand or by `decode_config`."""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.budgets import Cap
from nexusflow_core.errors import CombinedConfigError, ConfigError
from nexusflow_core.json_spans import MAX_VALUES
from nexusflow_core.routing import ModelRoute
from nexusflow_core.upstream import Secret, Upstream

__all__ = ["BudgetSettings", "CacheSettings", "Config", "Limits", "PagesSettings"]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on requests and on memory.

    `body_bytes`: a request's body, as sent and after inflation. `body_values`: its JSON values, if it must be
    decoded. `body_seconds`: until it has arrived; `body_idle_seconds`: between two pieces. `calls`,
    `calls_per_key`: at once, per process. `queue`: calls that may wait, for `queue_seconds` each; one caller
    may use `queue_share` of the queue (0 to 1), and at least one place. `ping_seconds`: the longest silence
    towards the client of a translated stream.
    """

    body_bytes: int = 32 * 1024 * 1024
    body_values: int = MAX_VALUES
    body_seconds: float = 120.0
    body_idle_seconds: float = 10.0
    header_bytes: int = 128 * 1024
    calls: int = 5000
    calls_per_key: int = 5000
    queue: int = 1000
    queue_seconds: float = 10.0
    queue_share: float = 0.25
    ping_seconds: float = 10.0


class CacheSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`doctor`: records say why the prompt cache missed. `header`: a header of the answer says it too."""

    doctor: bool = False
    header: bool = False


class BudgetSettings(Struct, frozen=True):
    """The store of caps. `url`: None for the ledger's, or memory. `on_failure`: if the store does not answer.

    `deadline`: seconds for each answer of the store.
    """

    url: Secret | None = None
    on_failure: Literal["refuse", "allow"] = "refuse"
    deadline: float = 2.0


class PagesSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Pages of `nexusflow serve`: `spend` and `metrics`, for whoever has `key`."""

    key: Secret | None = None
    spend: bool = False
    metrics: bool = False


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration of a gateway. Build it by hand, or from TOML with `decode_config`.

    `left_out`: optional upstreams without a key, each with the environment variable that is missing.
    """

    upstreams: Mapping[str, Upstream]
    routes: tuple[ModelRoute, ...]
    keys: tuple[Secret, ...] = ()
    anonymous: bool = False
    call_log: str | None = None
    durable: bool = False
    price_files: tuple[str, ...] = ()
    genai_prices: bool = False
    """Models of the package genai-prices have a price too."""
    limits: Limits = Limits()
    cache: CacheSettings = CacheSettings()
    pages: PagesSettings = PagesSettings()
    ledger: Secret | None = None
    """The URL of the database of keys and records. It may hold a password."""
    caps: tuple[Cap, ...] = ()
    budgets: BudgetSettings = BudgetSettings()
    scopes: Mapping[str, tuple[str, ...]] = {}
    """The scopes of gateway keys, by their label: the variable, or the file's name."""

    left_out: Mapping[str, str] = {}

    def secrets(self) -> Iterator[tuple[str, Secret, bool]]:
        """Yields each secret with its path, and True if the gateway starts without it."""
        for name, upstream in self.upstreams.items():
            for setting, secret in upstream.secrets():
                yield f"upstreams.{name}.{setting}", secret, upstream.optional
            if upstream.signing is not None and upstream.fetched is None:
                yield f"upstreams.{name}.auth", upstream.signing.token, True
        if self.ledger is not None and self.ledger.name:
            yield "ledger.url", self.ledger, False
        if self.budgets.url is not None and self.budgets.url.name:
            yield "budgets.url", self.budgets.url, False
        if self.pages.key is not None:
            yield "pages.key", self.pages.key, False
        for index, key in enumerate(self.keys):
            yield f"auth.keys[{index}]", key, False

    def resolve(self, environ: Mapping[str, str]) -> None:
        """Reads every secret from `environ`: variables by name, and the text of files by `file:PATH`.

        Raises ConfigError for a value that no header can carry, and for a missing or empty one, unless its
        upstream is optional. Raises CombinedConfigError for several.
        """
        wrong: list[ConfigError] = []
        for path, secret, optional in self.secrets():
            if optional and not environ.get(secret.name, "").strip():
                continue
            try:
                secret.resolve(environ, path)
            except ConfigError as error:
                wrong.append(error)
        if wrong:
            raise CombinedConfigError(wrong) if len(wrong) > 1 else wrong[0]

    def without_missing(self) -> "Config":
        """Returns the configuration without optional upstreams whose key is missing. Call it after `resolve`.

        `left_out` names them and their variables. A route without remaining targets serves no model.
        """
        missing = {
            name: secret.name
            for name, upstream in self.upstreams.items()
            for _, secret in upstream.secrets()
            if upstream.optional and not secret.known
        }
        if not missing:
            return self
        upstreams = {name: upstream for name, upstream in self.upstreams.items() if name not in missing}
        return replace(self.with_upstreams(upstreams), left_out=missing)

    def with_upstreams(self, upstreams: Mapping[str, Upstream]) -> "Config":
        """Returns the configuration with these upstreams in place of its own. Targets at others are gone."""
        routes = tuple(
            replace(
                route,
                targets=tuple(
                    replace(target, upstream=upstreams[target.upstream.name])
                    for target in route.targets
                    if target.upstream.name in upstreams
                ),
            )
            for route in self.routes
        )
        return replace(self, upstreams=upstreams, routes=routes)
