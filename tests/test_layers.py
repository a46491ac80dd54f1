"""The floors: each module imports only what stands below it, and the core does no I/O."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from nexusflow_core.dialects.openai_chat import VENDORS
from nexusflow_core.prices import BUILTIN_VENDORS

ROOT = Path(__file__).parent.parent

CORE = """untyped errors sse aws_eventstream usage prices costing upstream spending overflow json_spans record
    peek messages session budgets routing call resilience keys ledger logs caching dialect counting
    translation dialects.anthropic dialects.openai_chat dialects.openai_responses dialects exchange simulator
    toml config model_list gateway""".split()
"""nexusflow_core from the ground up."""

ASGI = """backend transports hooks stores otel credentials anonymous host_errors stored_keys auth body settings
    secret_files call_log unsaved presence durable_log ledger paths relay slots runtime budgets calls readiness
    endpoints signals app pages contrib server cli""".split()
"""nexusflow_asgi from the ground up."""

PURE = """__future__ abc array base64 binascii bisect codecs collections contextlib copy csv dataclasses
    datetime decimal difflib enum fractions functools hashlib heapq hmac html itertools json math msgspec
    operator re statistics string struct tomllib types typing unicodedata urllib.parse zlib""".split()
"""All that the core may import from elsewhere. None of it has a clock, dice, a file, a socket or a thread."""

READS_ITS_OWN_DATA = {"nexusflow_core.prices.book": {"pkgutil"}}
"""An exception: the built-in price rows are package data, read on first use."""

COMPUTES_WITH_ARROW = {"nexusflow_core.costing.batch_columns": {"pyarrow", "pyarrow.compute"}}
"""The second: tables of the caller are Arrow's, which is an extra, imported on first use."""

IMPORTS_ON_FIRST_USE = {"nexusflow_core": {"importlib"}}
"""The third: most programs need few of the public names. It imports modules of this package alone."""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            found.update({module, *(f"{module}.{alias.name}" for alias in node.names)})
    return found


def floor(module: str, package: str, floors: list[str]) -> int:
    """The number of the floor that a module is on: the longest name that it is, or is inside of."""
    inside = module.removeprefix(package).lstrip(".")
    names = [name for name in floors if inside == name or inside.startswith(name + ".")]
    return floors.index(max(names, key=len)) if names else len(floors)


@pytest.mark.parametrize(("package", "floors"), [("nexusflow_core", CORE), ("nexusflow_asgi", ASGI)])
def test_each_module_imports_only_lower_floors(package: str, floors: list[str]) -> None:
    """So there is no circle, and the list above reads as the architecture."""
    wrong: list[str] = []
    known = {module_name(path) for path in sources(package)}
    for path in sources(package):
        name = module_name(path)
        own = floor(name, package, floors)
        for imported in imports(path) & known:
            theirs = floor(imported, package, floors)
            if theirs > own:  # modules of one folder are on one floor; the next test keeps them in order
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


@pytest.mark.parametrize("package", ["nexusflow_core", "nexusflow_asgi"])
def test_there_is_no_circle(package: str) -> None:
    """Not among the modules of one folder either."""
    known = {module_name(path) for path in sources(package)}
    graph = {module_name(path): (imports(path) & known) - {module_name(path)} for path in sources(package)}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_a_dialect_never_sees_another() -> None:
    """What two of them share stands below both."""
    folders = [
        path for path in (ROOT / "nexusflow_core" / "dialects").iterdir() if (path / "__init__.py").exists()
    ]
    assert len(folders) >= 2
    for folder in folders:
        others = [f"nexusflow_core.dialects.{other.name}" for other in folders if other != folder]
        for path in folder.rglob("*.py"):
            assert not [name for name in imports(path) if name.startswith(tuple(others))], path


VENDOR_NAMES = {*VENDORS, *BUILTIN_VENDORS, "vertex", "bedrock", "dashscope", "sglang", "z.ai", "gpt"}


@pytest.mark.parametrize("path", sources("nexusflow_core/translation"), ids=module_name)
def test_the_translation_names_no_vendor_and_no_dialect(path: Path) -> None:
    """What a vendor does differently is said in the rows of its dialect."""
    assert not [name for name in imports(path) if name.startswith("nexusflow_core.dialects")]
    words = set(re.findall(r"[a-z0-9]+(?:\.ai)?", path.read_text().lower()))
    english = {"together", "anthropic"}  # a word of every language, and the form that is made here
    assert sorted(words & (VENDOR_NAMES - english)) == []


@pytest.mark.parametrize(("package", "floors"), [("nexusflow_core", CORE), ("nexusflow_asgi", ASGI)])
def test_every_module_has_a_floor(package: str, floors: list[str]) -> None:
    """A new module is put into the list, or it is not part of the design."""
    names = [module_name(path) for path in sources(package)]
    assert [name for name in names if name != package and floor(name, package, floors) == len(floors)] == []


@pytest.mark.parametrize("path", sources("nexusflow_core"), ids=module_name)
def test_the_core_does_no_io(path: Path) -> None:
    """It imports msgspec and pure standard library, reads no clock and opens no file."""
    allowed = {"nexusflow_core", *PURE}
    parents = ("nexusflow_core.", *(f"{name}." for name in PURE))
    foreign = {name for name in imports(path) if name not in allowed and not name.startswith(parents)}
    every = {**READS_ITS_OWN_DATA, **COMPUTES_WITH_ARROW, **IMPORTS_ON_FIRST_USE}
    exceptions = every.get(module_name(path), set())
    assert foreign <= exceptions
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("open", "codecs.open", "input", "print", "__import__"), f"{path}: {called}"
            assert not called.endswith((".now", ".utcnow", ".today")), f"{path}: {called}"


def test_the_exchange_knows_no_vendor() -> None:
    """It sees only the interface of a dialect."""
    for path in sources("nexusflow_core/exchange"):
        assert not [name for name in imports(path) if name.startswith("nexusflow_core.dialects")]


def test_the_core_loads_nothing_of_the_web() -> None:
    """Importing it for offline work brings in neither a client nor a server."""
    names = "httpx2 aiohttp starlette anyio asyncio ssl"
    assert _loaded_by("from nexusflow_core import *", names) == []


def test_the_core_loads_what_few_programs_need_on_first_use() -> None:
    """Price data, TOML, entities of HTML and guesses at misspelt names are slow to import."""
    names = "importlib.resources tempfile tomllib html difflib"
    assert _loaded_by("from nexusflow_core import *", names) == []


@pytest.mark.parametrize("package", ["nexusflow_core", "nexusflow_asgi"])
def test_a_bare_import_loads_no_module_of_ours(package: str) -> None:
    """Nor msgspec: each name brings its own module when it is used."""
    every = [module_name(path) for root in ("nexusflow_core", "nexusflow_asgi") for path in sources(root)]
    names = " ".join([*every, "msgspec", "asyncio", "anyio", "logging"])
    assert _loaded_by(f"import {package}", names) == [package]


def test_pricing_loads_only_what_money_needs() -> None:
    """`cost` brings no gateway, no dialect and no tables of many rows, and it finds its prices quickly."""
    code = """from nexusflow_core import Usage, cost
cost(Usage(input_tokens=1), model="claude-opus-4-7", at="2026-11-01")"""
    found = _loaded_by(code, " ".join(map(module_name, sources("nexusflow_core"))))
    floors = {name.split(".")[1] for name in found if "." in name}
    assert floors == {"costing", "errors", "prices", "sse", "untyped", "usage"}
    assert not [name for name in found if name.endswith(("batch", "rates", "sums"))]
    assert _loaded_by(code, "importlib.resources tempfile json hashlib urllib.parse") == []


GATEWAY = """from nexusflow_core import Gateway, decode_config
config = b'[upstreams.one]\\ndialect = "{}"\\nbase_url = "https://host.example"'
config += b'\\n[[routes]]\\nmodel = "m"\\ntargets = ["one"]'
Gateway(decode_config(config))"""


@pytest.mark.parametrize(
    ("dialect", "others"),
    [("anthropic", ["openai_chat", "openai_responses"]), ("openai-chat", ["openai_responses"])],
)
def test_a_gateway_loads_the_dialects_of_its_configuration(dialect: str, others: list[str]) -> None:
    """Each when it is built, so that no call waits; and nothing that only a command or a setting needs."""
    unused = [f"nexusflow_core.dialects.{name}" for name in others]
    unused += [f"nexusflow_core.{name}" for name in ("caching", "logs", "ledger", "simulator", "keys")]
    legs = {"anthropic": "anthropic.relay", "openai-chat": "openai_chat.leg"}
    leg = f"nexusflow_core.dialects.{legs[dialect]}"
    assert _loaded_by(GATEWAY.format(dialect), " ".join([*unused, leg])) == [leg]


def test_transports_are_imported_only_when_used() -> None:
    """The app itself loads no HTTP client, no server and no telemetry."""
    names = "httpx2 httpx aiohttp uvicorn opentelemetry importlib.metadata"
    assert _loaded_by("from nexusflow_asgi import NexusFlow", names) == []


@pytest.mark.parametrize("words", ["--version", "--help"])
def test_the_command_starts_without_the_gateway(words: str) -> None:
    """`nexusflow --version` loads neither the core nor the app."""
    code = f"from nexusflow_asgi.cli import main\ntry: main([{words!r}])\nexcept SystemExit: pass"
    assert (
        _loaded_by(code, "nexusflow_core nexusflow_asgi.app nexusflow_asgi.cli.serve msgspec starlette") == []
    )


def test_a_command_loads_no_other_command() -> None:
    """`nexusflow prices` needs no server, and `serve` reads no bills."""
    code = "from nexusflow_asgi.cli import parser\nparser({!r})"
    others = "nexusflow_asgi.app nexusflow_asgi.cli.serve nexusflow_asgi.cli.check"
    assert _loaded_by(code.format("prices"), others) == []
    assert _loaded_by(code.format("serve"), "nexusflow_asgi.cli.cost nexusflow_core.logs") == []


def _loaded_by(code: str, names: str) -> list[str]:
    """Returns those of the names that a process has loaded after this code."""
    code += "\nimport sys\nprint()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return sorted(set(names.split()) & set(done.stdout.split()))


PAGES = [ROOT / "docs/architecture.md", ROOT / "docs/CONTRIBUTING.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_map_names_what_there_is(page: Path) -> None:
    """Each path of ours that a page names exists."""
    named = set(re.findall(r"(?:nexusflow_core|nexusflow_asgi|tests)/[\w./]*\w", page.read_text()))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_map_shows_every_floor() -> None:
    """And no other, in the order of the building."""
    text = (ROOT / "docs/architecture.md").read_text().partition("## The floors")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    floors = [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]
    assert floors == ["nexusflow_core", *CORE, "nexusflow_asgi", *ASGI]
