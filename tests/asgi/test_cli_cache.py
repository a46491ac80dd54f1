"""`nexusflow cache`: logs and transcripts in, tables, JSON or one page out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli import main
from tests.core.caching.asking import after, assistant, request, text, usage, user

CLOCK = "it is {} o'clock"


def log(path: Path) -> Path:
    """Six requests of one conversation; the system prompt has a clock that moved before the fourth."""
    turns, lines = [user(text("q0", 300))], []
    for number in range(6):
        system = [text("s", 3000), text(CLOCK.format(number // 3), 100)]
        sent = request(*turns, system=system, cache_control={"type": "ephemeral"})
        size = 3400 + 400 * number
        new = number % 3 == 0
        counts = usage(0 if new else size - 400, size if new else 400)
        line = {"at": after(60 * number).isoformat(), "model": sent["model"], "usage": counts, "request": sent}
        lines.append(json.dumps({**line, "session": "bot"}))
        turns += [assistant(text(f"a{number}", 200)), user(text(f"q{number + 1}", 200))]
    path.write_text("\n".join(lines) + "\n")
    return path


def transcript(path: Path) -> Path:
    """Three answers of Claude Code, the last one after a pause of an hour."""
    lines: list[dict[str, Any]] = [{"type": "summary", "summary": "a title", "leafUuid": "x"}]
    for number, (second, read, written) in enumerate([(0, 0, 20_000), (50, 20_000, 900), (3650, 0, 22_000)]):
        common = {"sessionId": "3f0c1b1e", "isSidechain": False, "timestamp": after(second).isoformat()}
        message = {"id": f"m{number}", "model": "claude-opus-5", "usage": usage(read, written)}
        lines.append({"type": "user", "uuid": f"u{number}", "parentUuid": None, **common})
        lines.append(
            {
                "type": "assistant",
                "uuid": f"a{number}",
                "parentUuid": f"u{number}",
                "message": message,
                **common,
            }
        )
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; returns its status, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["cache", *map(str, words)])
        out = capsys.readouterr()
        return status, out.out, out.err

    return run


def test_tables(run: Run, tmp_path: Path) -> None:
    """By session, breakpoint and reason; the misses with a sentence each; advice with its amount and sample."""
    status, out, err = run(log(tmp_path / "log.jsonl"), transcript(tmp_path / "t.jsonl"))
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[2][:7] == ["bot", "6", "16,800", "9,600", "18", "1", "4,200"]
    assert rows[1][:7] == ["3f0c1b1e", "3", "20,000", "42,900", "9", "1", "20,900"]
    assert ["automatic", "6", "16,800", "9,600"] in [row[:4] for row in rows]
    assert "The system prompt changed at system[1]: everything after it was new." in out
    assert (
        "3f0c1b1e, request 3, 2026-10-01 13:00:50: 20,900 tokens paid again. The entry had ended 55 min" in out
    )
    assert (
        "Move what changes from the system prompt into the last message, and leave it there: saves $0.009660"
        in out
    )
    assert "Sample: 9 requests in 2 conversations, 6 of them with what was sent; 7 gaps" in out


def test_no_content_is_shown(run: Run, tmp_path: Path) -> None:
    """Neither in the tables nor on the page: where a block stands, never what it says."""
    path, page = log(tmp_path / "log.jsonl"), tmp_path / "page.html"
    shown = run(path)[1] + run(path, "--format", "json")[1]
    run(path, "--html", page)
    assert "clock" not in shown + page.read_text()


def test_json_has_exact_amounts(run: Run, tmp_path: Path) -> None:
    """As decimal text; the parts add up to the total."""
    _, out, _ = run(log(tmp_path / "log.jsonl"), transcript(tmp_path / "t.jsonl"), "--format", "json")
    found = json.loads(out)
    assert set(found["sessions"]) == {"bot", "3f0c1b1e"}
    for name in ("requests", "read", "write_5m", "uncached", "lost"):
        assert sum(it[name] for it in found["sessions"].values()) == found["total"][name]
    assert found["reasons"]["system_changed system[1]"]["wasted_usd"] == "0.00966"
    assert found["misses"][1]["miss"] == "system_changed system[1]"
    assert {it["policy"] for it in found["policies"]} >= {"none", "automatic", "tools, system, last block"}
    assert found["gaps"] == {"count": 7, "below_5m": "6/7", "below_1h": "6/7"}


def test_the_order_of_files_does_not_matter(run: Run, tmp_path: Path) -> None:
    """Calls are taken by their times; a file given twice as a transcript counts once."""
    one, two = log(tmp_path / "log.jsonl"), transcript(tmp_path / "t.jsonl")
    first = run(one, two, "--format", "json")[1]
    assert run(two, one, two, "--format", "json")[1] == first


def test_lines_are_put_in_the_order_of_time(run: Run, tmp_path: Path) -> None:
    """A call log has its lines in the order in which calls ended."""
    path = log(tmp_path / "log.jsonl")
    told = run(path, "--format", "json")[1]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[3:], *lines[:3]]))
    assert run(path, "--format", "json")[1] == told


def test_our_own_call_log_is_read(run: Run, tmp_path: Path) -> None:
    """It keeps no requests: the counts, the sessions, and Anthropic's own reason of a miss."""
    path = tmp_path / "calls.jsonl"
    record = {
        "schema": 1,
        "model": "claude-opus-5",
        "usage_source": "upstream",
        "ending": "complete",
    }
    calls = [(0, usage(short=5000), None), (30, usage(short=5200), "messages_changed")]
    path.write_text(
        "\n".join(
            json.dumps(
                {
                    **record,
                    "request_id": f"r{at}",
                    "started_at": after(at).isoformat(),
                    "usage": counts,
                    "session_id": "s1",
                    "upstream_cache_miss": why,
                }
            )
            for at, counts, why in calls
        )
    )
    status, out, _ = run(path)
    assert status == 0
    assert "message_changed" in out
    assert "5,000 tokens paid again" in out


def test_what_the_report_cannot_say(run: Run, tmp_path: Path) -> None:
    """Calls without a session, and models without known policies: in the tables, in JSON and on the page."""
    path, page = tmp_path / "calls.jsonl", tmp_path / "page.html"
    lone = {"schema": 1, "model": "claude-opus-5", "usage_source": "upstream", "ending": "complete"}
    lone |= {"request_id": "r", "started_at": after(0).isoformat(), "usage": usage(short=5000)}
    log_line = {"time": after(0).isoformat(), "level": "info", "logger": "nexusflow", "message": "r"}
    sent = {"messages": [user(text("q"))]}
    other = {"at": after(9).isoformat(), "model": "gpt-5.6-sol", "usage": usage(short=3000), "request": sent}
    lines = [{**log_line, "call": {**lone, "cache_miss": "tools_changed tools[1]"}}, log_line, other]
    path.write_text("\n".join(map(json.dumps, lines)))
    status, out, err = run(path)
    assert (status, err) == (0, "")
    notes = (
        "1 request without a session: what they lost is unknown",
        "gpt-5.6-sol: 1 request not replayed: policies are Claude's only.",
    )
    assert all(note in out for note in (*notes, "tools_changed tools[1]", "(no session)"))
    assert json.loads(run(path, "--format", "json")[1])["not_replayed"] == {"gpt-5.6-sol": 1}
    assert run(path, "--html", page)[0] == 0
    assert all(note.replace("'", "&#x27;") in page.read_text() for note in notes)


def test_lines_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """They are named with their place and counted; where nothing could be read, the status says so."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"model":"claude-opus-5","usage":{"input_tokens":-4}}\nno JSON\n')
    status, out, err = run(path)
    assert status == 1
    assert out == "no calls with usage\n"
    assert f"{path}:2: skipped: " in err
    assert "2 lines skipped" in err
    log(path)
    with path.open("a") as file:
        file.write('{"half a li')
    status, out, err = run(path)
    assert (status, "1 line skipped" in err) == (0, True)


def test_breakpoints_that_the_api_refuses_do_not_stop_it(run: Run, tmp_path: Path) -> None:
    """Such a call has no answer to explain; its counts stand."""
    path = tmp_path / "log.jsonl"
    sent = request(user(*(text(name, 8, "5m") for name in "abcde")))
    line = {"at": after(0).isoformat(), "model": "claude-opus-5", "usage": usage(uncached=9), "request": sent}
    path.write_text(json.dumps(line))
    status, out, _ = run(path)
    assert (status, "total" in out) == (0, True)


def test_a_file_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """An error that says which, and nothing else; also for a folder without any log."""
    for name in ("no-such-file", tmp_path):
        status, out, err = run(name)
        assert (status, out) == (2, "")
        assert "cannot be read" in err


class Page(HTMLParser):
    """Collects what a page holds, and fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "style")]
        self.addresses += [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self.open[-1] != "p":
            return
        assert self.open.pop() == tag


def test_the_page_is_self_contained(run: Run, tmp_path: Path) -> None:
    """No script, nothing that is loaded; names from the logs cannot become markup; tags match."""
    path, page = log(tmp_path / "log.jsonl"), tmp_path / "page.html"
    path.write_text(path.read_text().replace('"bot"', '"<script>alert(1)</script>"'))
    assert run(path, "--html", page) == (0, "", f"{page} is written\n")
    markup = page.read_text()
    found = Page()
    found.feed(markup)
    assert found.open == []
    assert found.addresses == []
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert "&lt;script&gt;alert(1)" in markup
    assert not re.search(r"https?:|url\(|@import", markup)
    assert markup.count('role="img"') == 2


def test_a_page_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """An error that says where."""
    status, _, err = run(log(tmp_path / "log.jsonl"), "--html", tmp_path / "no" / "page.html")
    assert status == 2
    assert "cannot be written: No such file" in err


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 390)])
def test_the_page_in_a_browser(run: Run, tmp_path: Path, scheme: str, width: int) -> None:
    """Light on a desk, dark on a phone: the ground follows the scheme, and nothing sticks out."""
    page = tmp_path / "page.html"
    run(log(tmp_path / "log.jsonl"), transcript(tmp_path / "t.jsonl"), "--html", page)
    unpoliced = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    probe = unpoliced.replace(
        "</body>",
        "<script>document.title = [getComputedStyle(document.body).backgroundColor, innerWidth >= "
        "document.documentElement.scrollWidth, document.querySelectorAll('svg rect').length > 20].join('|')"
        "</script></body>",
    )
    framed = tmp_path / "framed.html"
    framed.write_text(probe)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    options += ["--blink-settings=preferredColorScheme=" + {"light": "1", "dark": "0"}[scheme]]
    assert CHROMIUM is not None
    done = subprocess.run([CHROMIUM, *options, framed.as_uri()], capture_output=True, text=True, timeout=60)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}[scheme]
    assert title[1] == f"{ground}|true|true"
