"""Keys in files: read at the start, read again when a file changes, and never shown."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow, TransportResponse
from nexusflow_asgi.cli import main
from nexusflow_asgi.secret_files import SecretFiles
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import CallRecord, ConfigError, Secret
from nexusflow_core.config import decode_config
from nexusflow_core.upstream import UpstreamRequest
from tests.asgi.asking import ask
from tests.planted import assert_no_key

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
api_key = "file:{folder}/upstream"
headers = {{ "x-extra" = "file:{folder}/extra" }}

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["file:{folder}/team_key"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "upstream").write_text("sk-ant-first\n")
    (tmp_path / "extra").write_text("sk-extra-first")
    (tmp_path / "team_key").write_text("sk-team-first\n")
    return tmp_path


class Watched(OfflineTransport):
    """The simulator, and the credentials that were sent to it."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes | None, bytes | None]] = []

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        headers = dict(request.headers)
        self.sent.append((headers.get(b"x-api-key"), headers.get(b"x-extra")))
        return await super().send(request)


class Gateway:
    """A gateway with keys in files, and a clock that the test turns."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(SecretFiles.__init__, "__kwdefaults__", {"clock": lambda: self.now})
        self.transport, self.records = Watched(), list[CallRecord]()
        config = decode_config(CONFIG.format(folder=folder).encode())
        self.app = NexusFlow(config=config, transport=self.transport, hooks=[self])

    def after(self, record: CallRecord) -> None:
        self.records.append(record)

    def status(self, key: bytes) -> int:
        """The status of a call with this key, two seconds later."""
        self.now += 2.0
        return anyio.run(lambda: ask(self.app, headers=[(b"x-api-key", key)])).status


def test_keys_are_read_from_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends around a key are not part of it; its owner is called after the file."""
    gateway = Gateway(folder, monkeypatch)
    assert gateway.status(b"sk-team-first") == 200
    assert gateway.transport.sent == [(b"sk-ant-first", b"sk-extra-first")]
    assert gateway.records[0].principal == "team_key"


def test_a_changed_file_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A rotated key counts within a second, without a restart, on either side of the gateway."""
    caplog.set_level(logging.INFO, "nexusflow")
    gateway = Gateway(folder, monkeypatch)
    assert gateway.status(b"sk-team-first") == 200
    (folder / "team_key").write_text("sk-team-second-longer")
    replacement = folder / "new"
    replacement.write_text("sk-ant-other")  # of the same length: Kubernetes swaps the whole file
    os.replace(replacement, folder / "upstream")
    assert gateway.status(b"sk-team-second-longer") == 200
    assert gateway.status(b"sk-team-first") == 401
    assert gateway.transport.sent[1:] == [(b"sk-ant-other", b"sk-extra-first")]
    assert "was read again" in caplog.text
    assert_no_key(caplog.text, "the log")


@pytest.mark.parametrize("content", [None, "", "  \n", "sk-two\nsk-lines", "\udcff"])
def test_a_file_without_a_key_changes_nothing(
    content: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last key stays in use, and the log says which file is wrong."""
    gateway = Gateway(folder, monkeypatch)
    file = folder / "team_key"
    file.unlink() if content is None else file.write_bytes(content.encode(errors="surrogateescape"))
    assert gateway.status(b"sk-team-first") == 200
    assert "the key stays as it was: the file" in caplog.text
    assert_no_key(caplog.text, "the log")
    assert gateway.status(b"sk-team-first") == 200
    assert len(caplog.records) == 1, "one change is reported once"


def test_files_are_looked_at_once_a_second(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each call."""
    gateway = Gateway(folder, monkeypatch)
    assert gateway.status(b"sk-team-first") == 200
    (folder / "team_key").write_text("sk-team-second-longer")
    gateway.now -= 1.5  # so the next call comes half a second after the last look
    assert gateway.status(b"sk-team-second-longer") == 401
    assert gateway.status(b"sk-team-second-longer") == 200


@pytest.mark.parametrize(
    "written", ["file:", "file:  ", "file:/a\\u0007b", "file:/folder/", "/run/secrets/key"]
)
def test_a_reference_needs_a_path(written: str) -> None:
    """A key itself, or a control character, is refused with what to write."""
    text = CONFIG.format(folder="/x").replace("file:/x/team_key", written)
    with pytest.raises(ConfigError, match=r'auth\.keys\[0\].*"file:PATH"'):
        decode_config(text.encode())


def test_a_missing_file_stops_the_start(folder: Path) -> None:
    """The error names the setting and the file. An optional upstream is left out instead."""
    (folder / "upstream").unlink()
    text = CONFIG.format(folder=folder)
    with pytest.raises(
        ConfigError, match=r"upstreams\.anthropic\.api_key: the file .*/upstream is missing or empty"
    ):
        NexusFlow(config=decode_config(text.encode()))
    optional = text.replace('dialect = "anthropic"', 'dialect = "anthropic"\noptional = true')
    NexusFlow(config=decode_config(optional.encode()))


def test_check_reads_the_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`nexusflow check` reports a file that is missing, and shows no key."""
    file = folder / "nexusflow.toml"
    file.write_text(CONFIG.format(folder=folder))
    assert main(["check", str(file)]) == 0
    (folder / "team_key").unlink()
    assert main(["check", str(file)]) == 1
    out: Any = capsys.readouterr()
    assert "auth.keys[0]: the file" in out.err
    assert_no_key(out.out + out.err, "check")


def test_a_secret_from_a_file_shows_its_path_only() -> None:
    """In repr and in an error before it was read."""
    secret = Secret(None, "file:/run/secrets/team_key")
    assert repr(secret) == "Secret(file:/run/secrets/team_key)"
    assert (secret.path, secret.label) == ("/run/secrets/team_key", "team_key")
    with pytest.raises(ConfigError, match="the file /run/secrets/team_key has not been read"):
        secret.reveal()
    assert secret.renew("sk-team-first\n")
    assert not secret.renew("sk-team-first")
    assert "sk-team" not in repr(secret)
