"""`nexusflow cost --html`: one page, true to the sums, that needs nothing else and allows nothing else."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli import main
from nexusflow_asgi.cli.cost.page import page
from nexusflow_core.logs.report import CostReport
from tests.asgi.test_cli_cache import Page
from tests.readme_report import example

Run = Callable[..., tuple[int, str, str]]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        try:
            status = main(["cost", *map(str, words)])
        except SystemExit as error:
            status = int(error.code or 0)
        out = capsys.readouterr()
        return status, out.out, out.err

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 50_000, "output_tokens": 100}
    lines: list[dict[str, Any]] = [
        {"usage": usage, "model": "claude-opus-4-7", "at": "2026-11-20T10:00:00Z", "session": f"s1 {MARKUP}"},
        {"usage": usage, "model": "claude-haiku-4-5", "at": "2026-11-22T10:00:00Z", "session": "s2"},
        {"usage": usage, "model": "claude-haiku-4-5", "at": "2026-11-22T10:00:00Z", "partial": True},
        {"usage": usage, "model": f"acme{MARKUP}", "at": "2026-11-22T10:00:00Z"},
    ]
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "not JSON\n")
    return path


def test_what_the_page_says(run: Run, log: Path, tmp_path: Path) -> None:
    """The total, the days, the models, the classes, the sessions, what is unknown, and what flags mean."""
    file = tmp_path / "report.html"
    assert run(log, "--html", file)[:2] == (0, "")
    text = re.sub(r"<[^>]*>", "|", file.read_text())
    for words in (
        "4 calls, from 2026-11-20 to 2026-11-22. 1 value of the logs is unreadable",
        "spent||$0.0455 + unknown",
        "read from the cache||98%",
        "saved by the cache||$0.3150",
        "2026-11-20: claude-opus-4-7 $0.0325",
        "2026-11-21: nothing",
        "2026-11-22: claude-haiku-4-5 $0.0130",
        "input, not cached||3,000||",
        "no price is known for",
        "|1||The stream was cut short.",
    ):
        assert words in text.replace("||||", "||"), words


def test_the_page_is_self_contained(run: Run, log: Path, tmp_path: Path) -> None:
    """No script, nothing that is loaded; names from the logs cannot become markup; tags match."""
    file = tmp_path / "report.html"
    run(log, "--html", file)
    markup, found = file.read_text(), Page()
    found.feed(markup)
    assert (found.open, found.addresses) == ([], [])
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert "&lt;script&gt;alert(1)" in markup
    assert not re.search(r"https?:|url\(|@import", markup)
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in markup


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--html", "no/report.html"], "no/report.html cannot be written: No such file"),
        (["--html", "r.html", "--by", "day"], "leave out --by"),
        (["--html", "r.html", "--follow"], "leave out --follow"),
    ],
)
def test_what_does_not_go(
    words: list[str], says: str, run: Run, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that says what to change; no page is written."""
    monkeypatch.chdir(tmp_path)
    status, _, err = run(log, *words)
    assert status == 2
    assert says in err
    assert not list(tmp_path.glob("*.html"))


def test_a_page_of_nothing(run: Run, tmp_path: Path) -> None:
    """A file without readable lines: its cost is unknown, not 0."""
    path, file = tmp_path / "bad.jsonl", tmp_path / "report.html"
    path.write_text("nothing\n")
    assert run(path, "--html", file)[0] == 1
    assert "<dd>unknown</dd>" in file.read_text()
    assert "<dd>$0</dd>" in page(CostReport())


class _Served(BaseHTTPRequestHandler):
    asked: list[str]
    markup: bytes

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(self.markup)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[tuple[str, list[str]]]:
    """The example's page under the strict policy, and the paths that were asked for."""
    asked: list[str] = []
    handler = type("Served", (_Served,), {"asked": asked, "markup": page(example()).encode()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("scheme", "width"), [("1", 1000), ("0", 390)], ids=["light-desk", "dark-phone"])
def test_the_page_in_a_browser(served: tuple[str, list[str]], scheme: str, width: int, tmp_path: Path) -> None:
    """Under the strict policy it has its styles: the ground follows the scheme, bars have colours."""
    url, asked = served
    shot = tmp_path / "shot.png"
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},1200"]
    options += [
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={shot}",
        "--enable-logging=stderr",
    ]
    done = subprocess.run([CHROMIUM, *options, url], capture_output=True, text=True, timeout=60)
    assert "Content Security Policy" not in done.stderr  # nothing was refused
    assert set(asked) <= {"/", "/favicon.ico"}
    colours = _colours(shot)
    assert {"1": (255, 255, 255), "0": (20, 24, 28)}[scheme] in colours
    assert {(0x3B, 0x7D, 0xD8), (0xE0, 0xA0, 0x30), (0x2F, 0x8F, 0x83)} <= colours


def _colours(shot: Path) -> set[tuple[int, ...]]:
    """The colours of a PNG without interlacing, with 8 bits per sample."""
    import struct
    import zlib

    data, place, pixels = shot.read_bytes(), 8, b""
    width = height = samples = 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", body[:10])
            samples = {2: 3, 6: 4}[colour]
        pixels += body if kind == b"IDAT" else b""
        place += size + 12
    raw, before, found = zlib.decompress(pixels), bytearray(width * samples), set[tuple[int, ...]]()
    for row in range(height):
        start = row * (width * samples + 1)
        line = bytearray(raw[start + 1 : start + 1 + width * samples])
        for at in range(len(line)):
            left = line[at - samples] if at >= samples else 0
            corner = before[at - samples] if at >= samples else 0
            line[at] = (line[at] + _predicted(raw[start], left, before[at], corner)) & 255
        found |= {tuple(line[at : at + 3]) for at in range(0, len(line), samples)}
        before = line
    return found


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    if kind == 4:
        guess = left + above - corner
        return min((left, above, corner), key=lambda value: abs(guess - value))
    return (0, left, above, (left + above) // 2)[kind]


@pytest.mark.parametrize("command", ["cost", "cache"])
def test_a_page_has_no_other_format(
    command: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and no page is written."""
    page = tmp_path / "page.html"
    assert main([command, str(log), "--html", str(page), "--format", "json"]) == 2
    assert "leave out --format" in capsys.readouterr().err
    assert not page.exists()
