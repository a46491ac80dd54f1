"""`nexusflow keys`: the whole life of a key from the command line, and calls with it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.cli import main
from nexusflow_core import ConfigError
from nexusflow_core.config import decode_config
from tests.asgi.asking import MODEL, ask

CONFIG = """
[upstreams.sim]
dialect = "anthropic"
api_key = "env:SIM_KEY"

[[routes]]
model = "claude-*"
targets = ["sim"]

[ledger]
url = "{url}"
"""


class Out(NamedTuple):
    status: int
    out: str
    err: str


class Command:
    """`nexusflow keys` on a database of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.database = folder / "keys.db"
        self.file = folder / "nexusflow.toml"
        self.file.write_text(CONFIG.format(url=f"sqlite:///{self.database}"))

    def __call__(self, verb: str, *arguments: str) -> Out:
        try:
            status = main(["keys", verb, "--config", str(self.file), *arguments])
        except SystemExit as end:
            status = int(str(end.code))
        return Out(status, *self._capsys.readouterr())

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("list", "--format", "json", *arguments).out)
        return found

    def status(self, key: str, model: str = MODEL) -> int:
        """The status of a call with this key, to a gateway that has just started."""
        config = decode_config(self.file.read_bytes())
        body = json.dumps({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})

        async def call() -> int:
            async with NexusFlow(config=config, transport="offline") as app:
                return (await ask(app, headers=[(b"x-api-key", key.encode())], body=body.encode())).status

        return anyio.run(call)


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def test_a_key_from_create_to_revoke(keys: Command) -> None:
    """Standard output is the key alone, once; later its id names it."""
    arguments = "ci --expires 90d --model claude-haiku-* --scope team:red --cap 20.5usd/month".split()
    made = keys("create", *arguments, "--cap", "9requests/24h", "--metadata", "team=red")
    assert (made.status, made.out.count("\n")) == (0, 1)
    text = made.out.strip()
    assert text.startswith("nxf-")
    assert text not in made.err
    [shown] = keys.listed()
    assert shown.pop("created") < shown.pop("expires")
    assert shown == {
        "id": text.split("-")[1],
        "name": "ci",
        "state": "active",
        "models": ["claude-haiku-*"],
        "scopes": ["team:red"],
        "caps": ["20.5usd/month", "9requests/1d"],
        "metadata": {"team": "red"},
        "parent": None,
    }
    secret = text.split("-", 2)[2]
    assert secret not in keys("list").out
    assert secret.encode() not in keys.database.read_bytes()
    assert keys.status(text) == 200
    assert keys.status(text, "claude-opus-4-7") == 403
    assert keys("revoke", shown["id"]).status == 0
    assert keys.status(text) == 401
    assert keys.listed() == []
    assert keys.listed("--all")[0]["state"] == "revoked"


def test_rotation_and_expiry(keys: Command) -> None:
    """Both keys work during the overlap; `expire` ends one at once."""
    old = keys("create", "ci").out.strip()
    id = old.split("-")[1]
    new = keys("rotate", id, "--overlap", "1h").out.strip()
    assert (keys.status(old), keys.status(new)) == (200, 200)
    assert keys("expire", id).status == 0
    assert (keys.status(old), keys.status(new)) == (401, 200)
    again = keys("rotate", id)
    assert (again.status, again.out) == (2, "")
    assert "no active key has the id" in again.err


def test_a_child_of_a_key(keys: Command) -> None:
    """It is minted within its parent, and ends with it."""
    parent = keys("create", "agents", "--model", "claude-*").out.strip().split("-")[1]
    child = keys("create", "job", "--parent", parent, "--expires", "30m", "--cap", "0.50usd/30m").out.strip()
    assert keys.status(child) == 200
    assert "0.50usd/30m" in keys("list").out, "as --cap takes it"
    assert "'job'" not in keys("create", "job", "--parent", parent).out
    wrong = keys("create", "job", "--parent", parent, "--expires", "30m", "--model", "gpt-*")
    assert (wrong.status, wrong.out) == (2, "")
    assert "models: are more than those of the parent: claude-*" in wrong.err
    keys("revoke", parent)
    assert keys.status(child) == 401


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["create", "x", "--expires", "soon"], "is not a time such as 90d"),
        (["create", "x", "--cap", "20"], "is not a cap such as 20usd/month"),
        (["create", "x", "--cap", "1.2.3usd/month"], "is not a cap"),
        (["create", "x", "--cap", "1.5requests/hour"], "is not a cap"),
        (["create", "x", "--metadata", "team"], "is not NAME=VALUE"),
        (["create", "a\nb"], "name: must be 1 to 200 printable characters"),
        (["create", "x", "--scope", "key:other"], "scopes: are 1 to 100 printable characters"),
        (["revoke", "zzzz"], "no key has the id 'zzzz'"),
        (["list", "--database", "nonsense"], "is not one of sqlite, postgresql, mariadb"),
        (["list", "--database", "oracle://host/db"], "nexusflow: ledger.url: "),
    ],
)
def test_mistakes_are_explained(arguments: list[str], why: str, keys: Command) -> None:
    """And no key is made."""
    keys("create", "another")
    got = keys(*arguments)
    assert got.status in (1, 2)
    assert why in got.err
    assert got.out == ""


def test_an_unusable_database_shows_no_password(keys: Command) -> None:
    """The driver's own text may have it."""
    url = "postgresql://sk-user:sk-password@127.0.0.1:9/none"
    got = keys("list", "--database", url)
    assert got.status == 2
    assert "the database cannot be used" in got.err


def test_names_cannot_move_the_cursor(keys: Command) -> None:
    """A database may hold what another program wrote."""
    keys("create", "ci")
    with sqlite3.connect(keys.database) as database:
        database.execute("UPDATE nexusflow_keys SET name = ?", ["\x1b[31mred\n"])
    database.close()
    assert "\\x1b[31mred\\n" in keys("list").out


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://user:sk-password@host/db", "has a password: put the URL into the environment"),
        ("nexusflow.db", "is not the URL of a database"),
        ("sqlite:///a\\u0007b", "contains a control character"),
    ],
)
def test_a_url_of_the_configuration(url: str, why: str) -> None:
    """Checked when it is read; a password never stands in the file."""
    with pytest.raises(ConfigError, match=why):
        decode_config(CONFIG.format(url=url).encode())


def test_a_url_from_the_environment(keys: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for every other secret. The command needs no other variable."""
    keys.file.write_text(CONFIG.format(url="env:LEDGER_URL"))
    assert "ledger.url: the environment variable LEDGER_URL is not set" in keys("list").err
    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path}/other.db")
    assert keys("create", "ci").status == 0
    assert (tmp_path / "other.db").exists()
    keys.file.write_text(CONFIG.partition("[ledger]")[0])
    assert "ledger.url: is not set" in keys("list").err


def test_check_knows_that_the_database_has_keys(
    keys: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration without [auth] is whole, as `serve` takes it; without the ledger it is not."""
    monkeypatch.setenv("SIM_KEY", "sk-sim")
    assert main(["check", str(keys.file)]) == 0
    shown = capsys.readouterr()
    assert "callers: keys in the database" in shown.out
    assert shown.err == ""
    keys.file.write_text(keys.file.read_text().partition("[ledger]")[0])
    assert main(["check", str(keys.file)]) == 1


def test_check_says_what_would_surprise(
    keys: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fallback that is never tried."""
    monkeypatch.setenv("SIM_KEY", "sk-sim")
    text = keys.file.read_text()
    two = 'targets = ["sim", "sim/claude-haiku-4-5"]\nretry = { attempts = 1 }'
    keys.file.write_text(text.replace('targets = ["sim"]', two))
    assert main(["check", str(keys.file)]) == 0
    assert "routes[0].retry: 1 attempts for 2 targets" in capsys.readouterr().err


def test_a_missing_file_is_no_empty_database(keys: Command) -> None:
    """Listing, rotating and revoking make none, and say where they looked."""
    listed = keys("list")
    assert listed.status == 2
    assert "does not exist" in listed.err
    assert not keys.database.exists()
    assert keys("create", "first").status == 0
