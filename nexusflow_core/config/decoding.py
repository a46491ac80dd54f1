"""Decodes a nexusflow.toml into a Config. All mistakes are reported at once, with file and line."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict, replace

from nexusflow_core.budgets import wrong_scopes
from nexusflow_core.config.caps import read_budgets, read_caps
from nexusflow_core.config.checks import (
    check_effect,
    check_limits,
    check_retry,
    check_seconds,
    check_text,
    checked_url,
    database_url,
    referenced,
)
from nexusflow_core.config.config import CacheSettings, Config, Limits, PagesSettings
from nexusflow_core.config.doors import door_of, fetched_of, headers_of, place_of, signing_of
from nexusflow_core.config.tables import (
    AuthTable,
    LedgerTable,
    LogTable,
    PricesTable,
    RouteTable,
    UpstreamTable,
)
from nexusflow_core.dialect import UpstreamDialect
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.routing import ModelRoute, Retry, Router, Target, TargetOptions
from nexusflow_core.toml import Complaints, Places, Reader, parse_toml
from nexusflow_core.untyped import is_list, is_object, object_of
from nexusflow_core.upstream import Secret, Upstream
from nexusflow_core.usage.billing import BILLING_VENDORS

__all__ = ["decode_config"]

_TABLES = "upstreams routes auth log retry prices limits cache ledger caps budgets pages".split()


def decode_config(data: bytes, source: str = "") -> Config:
    """Returns a Config from the bytes of a nexusflow.toml. `Config.resolve` reads its secrets later.

    `source` is the file's name, for messages. Raises CombinedConfigError with every mistake and its line,
    ConfigError for text that is not TOML.
    """
    tree, text = parse_toml(data, source)
    complaints = Complaints(source, Places(text))
    config = _Decoding(complaints).config(tree)
    complaints.raise_any()
    assert config is not None  # noqa: S101 - without complaints there is a Config
    return config


class _Decoding:
    """Decodes one file. A table with a mistake becomes None, so that no mistake is reported twice."""

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self._reader = Reader(complaints, _decode_secret)
        self._tables: dict[str, UpstreamTable | None] = {}
        self._upstreams: dict[str, Upstream] = {}

    def config(self, tree: dict[str, Any]) -> Config | None:
        self._reader.note_unknown(tree, _TABLES, "")
        self._read_upstreams(tree.get("upstreams", {}))
        retry = self._retry("retry", tree.get("retry", {}))
        routes = self._routes(tree.get("routes", []), tree.get("retry", {}) if retry is not None else {})
        auth = self._reader.table(tree.get("auth", {}), AuthTable, "auth")
        log = self._log(tree.get("log", {}))
        prices = self._reader.table(tree.get("prices", {}), PricesTable, "prices")
        for index, path in enumerate(prices.files if prices is not None else ()):
            check_text(self._complaints, f"prices.files[{index}]", path)
        limits = self._reader.table(tree.get("limits", {}), Limits, "limits")
        if limits is not None:
            check_limits(self._complaints, limits)
        cache = self._cache(tree.get("cache", {}))
        ledger = self._reader.table(tree.get("ledger", {}), LedgerTable, "ledger")
        url = None
        if ledger is not None and ledger.url is not None:
            url = database_url(self._complaints, "ledger.url", ledger.url)
        caps = read_caps(
            self._complaints,
            self._reader,
            tree.get("caps", []),
            Router({route.model: route for route in routes}.values()).serves,
        )
        budgets = read_budgets(self._complaints, self._reader, tree.get("budgets", {}))
        pages = self._pages(tree.get("pages", {}), has_ledger=url is not None)
        if (
            pages is None
            or retry is None
            or auth is None
            or log is None
            or prices is None
            or limits is None
            or cache is None
        ):
            return None
        return Config(
            upstreams=self._upstreams,
            routes=routes,
            keys=tuple(auth.keys),
            anonymous=auth.anonymous,
            call_log=log.calls,
            durable=log.durable,
            price_files=tuple(prices.files),
            genai_prices=prices.genai_prices,
            limits=limits,
            cache=cache,
            ledger=url,
            pages=pages,
            caps=caps,
            budgets=budgets,
            scopes=self._scopes(auth),
        )

    def _scopes(self, auth: AuthTable) -> dict[str, tuple[str, ...]]:
        """Returns the scopes of gateway keys. Scopes of a key that is not listed would have no effect."""
        labels = [key.label for key in auth.keys]
        for label, scopes in auth.scopes.items():
            path = f"auth.scopes.{label}"
            if label not in labels:
                self._complaints.add(path, f"no key is called {label!r}{self._complaints.meant(label, labels)}")
            if (why := wrong_scopes(scopes)) is not None:
                self._complaints.add(path, why)
        return {label: tuple(scopes) for label, scopes in auth.scopes.items()}

    def _cache(self, table: Any) -> CacheSettings | None:
        cache = self._reader.table(table, CacheSettings, "cache")
        if cache is not None and cache.header and not cache.doctor:
            self._complaints.add("cache.header", "has no effect without the doctor: set cache.doctor = true")
        return cache

    def _pages(self, table: Any, *, has_ledger: bool) -> PagesSettings | None:
        pages = self._reader.table(table, PagesSettings, "pages")
        if pages is not None:
            if (pages.spend or pages.metrics) and pages.key is None:
                self._complaints.add("pages.key", "is missing: whoever opens a page sees all its numbers")
            if pages.key is not None and not pages.spend and not pages.metrics:
                self._complaints.add("pages.key", "has no effect: set pages.spend or pages.metrics")
            if pages.spend and not has_ledger:
                self._complaints.add("pages.spend", "needs the ledger: set ledger.url")
        return pages

    def _log(self, table: Any) -> LogTable | None:
        log = self._reader.table(table, LogTable, "log")
        if log is not None:
            check_text(self._complaints, "log.calls", log.calls)
            if log.durable and log.calls is None:
                self._complaints.add("log.durable", "needs a file: set log.calls")
        return log

    def _retry(self, path: str, table: Any) -> Retry | None:
        before = self._complaints.count
        retry = self._reader.table(table, Retry, path)
        if retry is not None:
            check_retry(self._complaints, path, retry)
        return retry if self._complaints.count == before else None

    # Upstreams

    def _read_upstreams(self, tables: Any) -> None:
        if not is_object(tables):
            self._complaints.add("upstreams", "needs one table per upstream: [upstreams.NAME]")
            return
        for name, written in tables.items():
            path = f"upstreams.{name}"
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
                self._complaints.add(path, "a name may contain only letters, digits, '_', '-' and '.'")
            table = self._tables[name] = self._reader.table(written, UpstreamTable, path)
            if table is not None:
                self._upstream(name, path, table, object_of(written))

    def _upstream(self, name: str, path: str, table: UpstreamTable, written: Mapping[str, Any]) -> None:
        complaints = self._complaints
        dialect = DIALECTS.get(table.dialect)
        if dialect is None:
            hint = complaints.meant(table.dialect, DIALECTS)
            complaints.add(f"{path}.dialect", f"{table.dialect!r} is not one of {', '.join(DIALECTS)}{hint}")
            return
        check_effect(complaints, path, written, [table.dialect])
        door = door_of(complaints, path, table)
        base_url = dialect.default_base_url if door is None else door.address
        base_url = table.base_url if table.base_url is not None else base_url
        if base_url is None:
            complaints.add(f"{path}.base_url", "is missing")
            return
        self._check_vendor(path, table, dialect)
        self._check_key(path, table)
        check_text(complaints, f"{path}.ca_file", table.ca_file)
        if table.connections < 1:
            complaints.add(f"{path}.connections", "must be at least 1")
        for limit, seconds in asdict(table.timeouts).items():
            check_seconds(complaints, f"{path}.timeouts.{limit}", seconds)
        base_url = checked_url(complaints, f"{path}.base_url", base_url, dialect)
        upstream = Upstream(
            name=name,
            dialect=table.dialect,
            base_url=base_url,
            api_key=table.api_key,
            auth=table.auth or (door.auth if door is not None else dialect.default_auth),
            vendor=table.vendor,
            prices=table.prices,
            ca_file=table.ca_file,
            optional=table.optional,
            threads=table.threads,
            connections=table.connections,
            timeouts=table.timeouts,
            door=table.door if door is not None else None,
            place=place_of(table),
            headers=headers_of(complaints, path, table, door),
            betas=table.betas,
            signing=signing_of(complaints, path, table),
            fetched=fetched_of(complaints, path, table),
        )
        self._upstreams[name] = replace(upstream, prices=dialect.price_vendor(upstream))

    def _check_vendor(self, path: str, table: UpstreamTable, dialect: UpstreamDialect) -> None:
        """Refuses an unknown vendor: it would turn on neither deviations nor prices."""
        if table.vendor is None or table.vendor in (known := {*dialect.vendors, *BILLING_VENDORS}):
            return
        row = next((name for name, prices in dialect.vendors.items() if prices == table.vendor), None)
        hint = (
            self._complaints.meant(table.vendor, sorted(known)) if row is None else f" (did you mean {row!r}?)"
        )
        why = f"no vendor is called {table.vendor!r}{hint}. A host without deviations needs no vendor: "
        self._complaints.add(f"{path}.vendor", why + "leave it out, and use `prices` to choose price rows")

    def _check_key(self, path: str, table: UpstreamTable) -> None:
        if table.auth in ("none", "aws", "google", "azure") and table.api_key is not None:
            self._complaints.add(f"{path}.api_key", f'has no effect: auth = "{table.auth}" sends no key')
        if table.optional and table.api_key is None and table.auth != "aws":
            why = "has no effect without api_key: an optional upstream is left out if its key is missing"
            self._complaints.add(f"{path}.optional", why)

    # Routes

    def _routes(self, tables: Any, retry: dict[str, Any]) -> tuple[ModelRoute, ...]:
        if not is_list(tables):
            self._complaints.add("routes", "needs one table per route: [[routes]]")
            return ()
        routes: list[ModelRoute] = []
        seen: set[str] = set()
        for index, written in enumerate(tables):
            path = f"routes[{index}]"
            table = self._reader.table(written, RouteTable, path)
            if table is None:
                continue
            if table.model in seen:
                self._complaints.add(f"{path}.model", f"another route already has the model {table.model!r}")
            seen.add(table.model)
            route = self._route(path, table, object_of(written), retry)
            routes += [route] if route is not None else []
        return tuple(routes)

    def _route(
        self, path: str, table: RouteTable, written: Mapping[str, Any], retry: dict[str, Any]
    ) -> ModelRoute | None:
        complaints = self._complaints
        if not table.model.strip():
            complaints.add(f"{path}.model", "is empty: name a model, or a pattern such as 'claude-*'")
        if not written.get("targets"):
            complaints.add(f"{path}.targets", "is empty: name at least one upstream")
        if table.max_tokens is not None and table.max_tokens < 1:
            complaints.add(f"{path}.max_tokens", "must be at least 1")
        check_text(complaints, f"{path}.model", table.model)
        check_text(complaints, f"{path}.display_name", table.display_name)
        targets = [self._target(f"{path}.targets[{at}]", text, table) for at, text in enumerate(table.targets)]
        found = [target for target in targets if target is not None]
        if len(found) == len(targets):
            check_effect(complaints, path, written, {target.upstream.dialect for target in found})
        own = self._retry(f"{path}.retry", {**retry, **table.retry})
        if own is None:
            return None
        return ModelRoute(
            table.model, tuple(found), display_name=table.display_name, retry=own, thinking=table.thinking
        )

    def _target(self, path: str, text: str, route: RouteTable) -> Target | None:
        name, _, model = text.partition("/")
        check_text(self._complaints, path, text)
        if name not in self._tables:
            self._complaints.add(
                path, f"no upstream is called {name!r}{self._complaints.meant(name, self._tables)}"
            )
        upstream, table = self._upstreams.get(name), self._tables.get(name)
        if upstream is None or table is None:
            return None
        return Target(upstream, model or None, route.strict or table.strict, _options(route, table))


def _options(route: RouteTable, upstream: UpstreamTable) -> TargetOptions:
    return TargetOptions(
        max_tokens=route.max_tokens,
        count_tokens=route.count_tokens,
        images=upstream.images,
        tool_images=upstream.tool_images,
        server_tools=route.server_tools or upstream.server_tools,
    )


def _decode_secret(type: type, value: Any) -> Any:
    if type is not Secret:
        raise NotImplementedError(f"no decoding for {type}")  # as msgspec asks of a hook; no input leads here
    secret = referenced(value) if isinstance(value, str) else None
    if secret is None:
        raise ValueError(
            'write the name of an environment variable as "env:NAME": keys do not belong in files, '
            'except one that holds a key alone, written as "file:PATH"'
        )
    return secret
