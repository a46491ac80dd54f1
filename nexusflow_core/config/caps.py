"""`[[caps]]` and `[budgets]`: the tables as they are written, and the caps that they make."""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import asdict

from nexusflow_core.budgets import Cap
from nexusflow_core.budgets.caps import TokenKind
from nexusflow_core.config.checks import check_seconds, database_url
from nexusflow_core.config.config import BudgetSettings
from nexusflow_core.errors import ConfigError
from nexusflow_core.toml import Complaints, Reader
from nexusflow_core.untyped import is_list

__all__ = ["BudgetsTable", "CapTable", "read_budgets", "read_caps"]


class CapTable(Struct):
    """`[[caps]]`."""

    scope: str
    window: int | str
    usd: str | int | None = None
    requests: int | None = None
    tokens: int | None = None
    counts: list[TokenKind] = field(default_factory=lambda: list[TokenKind](("input", "cache_write", "output")))
    per: Literal["each", "pool"] = "each"
    hard: bool = True
    thresholds: list[int] = field(default_factory=list[int])
    degrade_to: str | None = None
    unpriced: str | None = None


class BudgetsTable(Struct):
    """`[budgets]`."""

    url: str | None = None
    on_failure: Literal["refuse", "allow"] = "refuse"
    deadline: float = 2.0


def read_caps(
    complaints: Complaints, reader: Reader, tables: Any, serves: Callable[[str], bool]
) -> tuple[Cap, ...]:
    """Returns the caps. Records each mistake, such as a `degrade_to` that no route `serves`."""
    if not is_list(tables):
        complaints.add("caps", "needs one table per cap: [[caps]]")
        return ()
    caps: list[Cap] = []
    for index, written in enumerate(tables):
        path = f"caps[{index}]"
        table = reader.table(written, CapTable, path)
        if table is None:
            continue
        members: dict[str, Any] = {
            name: tuple(value) if is_list(value) else value for name, value in asdict(table).items()
        }
        try:
            cap = Cap(**members)
        except ConfigError as error:
            complaints.add(f"{path}.{error.path}", error.why)
            continue
        if cap.degrade_to is not None and not serves(cap.degrade_to):
            complaints.add(f"{path}.degrade_to", f"no route serves the model {cap.degrade_to!r}")
        if cap in caps:
            complaints.add(path, f"is the same as caps[{caps.index(cap)}]")
        caps.append(cap)
    return tuple(caps)


def read_budgets(complaints: Complaints, reader: Reader, table: Any) -> BudgetSettings:
    """Returns the settings of the store of caps. Records each mistake."""
    found = reader.table(table, BudgetsTable, "budgets")
    if found is None:
        return BudgetSettings()
    check_seconds(complaints, "budgets.deadline", found.deadline)
    url = None if found.url is None else database_url(complaints, "budgets.url", found.url)
    return BudgetSettings(url=url, on_failure=found.on_failure, deadline=found.deadline)
