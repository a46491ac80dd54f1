"""`nexusflow prices` as a person meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli import main
from nexusflow_core.prices import BUILTIN_VENDORS
from tests.asgi.serving import COMMAND, LIMIT, environment

OWN: dict[str, Any] = {
    "vendor": "anthropic",
    "models": [
        {
            "id": "claude-opus-4-7",
            "aliases": ["house-model"],
            "periods": [{"until": "2026-06-01", "tiers": [{"input": "3"}]}],
        }
    ],
}


@pytest.fixture
def prices(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main(["prices", *map(str, arguments)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(OWN))
    return path


def row(told: str, name: str) -> list[str]:
    """The cells of a line of the table."""
    [found] = [line.split() for line in told.splitlines() if line.startswith(f"{name} ")]
    return found[1:]


# A model


def test_a_model(prices: Any) -> None:
    """Its row in force, limits, terms, fees, history, sources with their day and link, confidence."""
    status, told, err = prices("claude-opus-4-7", "--at", "2026-11-22")
    assert (status, err) == (0, "")
    assert told.startswith("anthropic/claude-opus-4-7\nactive, released 2026-04-16")
    assert "context 1,000,000 tokens, output at most 128,000 tokens, cacheable from 2,048 tokens" in told
    assert "in force at 2026-11-22 00:00 UTC" in told
    assert row(told, "anthropic/claude-opus-4-7") == ["5", "25", "0.5", "6.25", "10"]
    for part in (
        "processing batch: all tokens x 0.5",
        "web search per 1000: 10 USD",
        "always: input 5, output 25",
        "seen 2026-08-22: https://platform.claude.com/docs",
        "confidence: ",
        "checked 2026-11-22",
    ):
        assert part in told


def test_tiers(prices: Any) -> None:
    """A row for each size of prompt."""
    told = prices("claude-haiku-5-5")[1]
    assert row(told, "anthropic/claude-haiku-5-5") == ["0.1", "0.5", "0.01", "0.125", "0.2"]
    assert row(told, "anthropic/claude-haiku-5-5>100000") == ["0.5", "2.5", "0.05", "0.625", "1"]


def test_history(prices: Any) -> None:
    """The row of the day that is asked for; every period is listed."""
    before = prices("claude-sonnet-5-5", "--at", "2026-10-06")[1]
    after = prices("claude-sonnet-5-5", "--at", "2026-10-07")[1]
    assert row(before, "anthropic/claude-sonnet-5-5")[2] == "0.2"
    assert row(after, "anthropic/claude-sonnet-5-5@2026-10-07")[2] == "0.1"
    for told in (before, after):
        assert "  until before 2026-10-07: input 2" in told
        assert "  from 2026-10-07: input 2" in told


def test_hours(prices: Any) -> None:
    """A time of day counts where the vendor has hours of its own (2026-11-23 is a Monday)."""
    told = prices("deepseek-flash", "--at", "2026-11-23T02:00:00Z")[1]
    assert row(told, "deepseek/deepseek-flash@2026-09-10T01:00")[:2] == ["0.3", "1.2"]
    assert "01:00 to 04:00 UTC on mon tue wed thu fri from 2026-09-10: input 0.3" in told
    assert row(prices("deepseek-flash", "--at", "2026-11-23")[1], "deepseek/deepseek-flash")[0] == "0.15"


@pytest.mark.parametrize(
    ("name", "price_row", "read"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic/claude-haiku-4-5+regional", "0.11"),
        ("anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4-5", "0.1"),
        ("claude-haiku-4-5@20251001", "anthropic/claude-haiku-4-5", "0.1"),
    ],
)
def test_other_names(prices: Any, name: str, price_row: str, read: str) -> None:
    """A model is found by any name that a cost is found by, and at the same price."""
    assert row(prices(name)[1], price_row)[2] == read


# What is not known


def test_an_unknown_model(prices: Any) -> None:
    """A sentence, and names like it that are marked as suggestions: exit status 1, nothing on stdout."""
    status, told, err = prices("claude-opus-4-70")
    assert (status, told) == (1, "")
    sentence, suggestion = err.splitlines()
    assert sentence == "nexusflow: no price is known for 'claude-opus-4-70'"
    assert "names that look similar: claude-opus-4-7" in suggestion


@pytest.mark.parametrize("name", ["", "zzzzzzzzzzzz", "\x1b[2J\n", "claude" * 1000])
def test_a_name_like_no_other(prices: Any, name: str) -> None:
    """One sentence, printable, whatever was typed."""
    status, told, err = prices(name)
    assert (status, told) == (1, "")
    assert err.startswith("nexusflow: no price is known")
    assert all(line.isprintable() for line in err.splitlines())


def test_a_vendor(prices: Any) -> None:
    """Narrows the search, and must be one that there is."""
    assert prices("claude-opus-4-7", "--vendor", "anthropic")[0] == 0
    status, _, err = prices("claude-opus-4-7", "--vendor", "openai")
    assert status == 1
    assert "of openai" in err
    assert "claude" not in err.splitlines()[1:]
    status, _, err = prices("claude-opus-4-7", "--vendor", "nobody")
    assert status == 2
    assert "anthropic" in err


def test_a_day_without_a_price(prices: Any, own: Path) -> None:
    """Said in place of the prices; the rest is told: exit status 1."""
    status, told, _ = prices("claude-opus-4-7", "--at", "2026-06-01", "--prices", own)
    assert status == 1
    assert "no price of claude-opus-4-7 is known for 2026-06-01" in told
    assert "until before 2026-06-01: input 3" in told


def test_prices_of_ones_own(prices: Any, own: Path) -> None:
    """The row that goes first is shown, with the file that it is from and its aliases."""
    told = prices("house-model", "--at", "2026-05-01", "--prices", own)[1]
    assert told.startswith(f"anthropic/claude-opus-4-7, from {own}\n")
    assert "aliases: house-model" in told
    assert row(told, "anthropic/claude-opus-4-7") == ["3", "-", "3", "3", "3"]


@pytest.mark.parametrize("text", ["{", "[]", '{"vendor": "x"}', '{"vendor": "x", "models": [{"id": "y"}]}'])
def test_a_price_file_with_an_error(prices: Any, own: Path, text: str) -> None:
    """Named in one line, with the file: exit status 2."""
    own.write_text(text)
    status, told, err = prices("claude-opus-4-7", "--prices", own)
    assert (status, told, err.count("\n")) == (2, "", 1)
    assert str(own) in err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"vendor": "acme",\n "models": [\n {"id": "x",}]}', 3),
        ('{"vendor": "acme",\n "models": [\n {"id": "w", "periods": [{"tiers": [{"input": "1"}]}]},\n'
         ' {"id" : "x", "periods":\n [{"tiers": [{"input": "0.1e"}]}]}]}', 4),
    ],
)  # fmt: skip
def test_the_line_of_an_error(prices: Any, tmp_path: Path, text: str, line: int) -> None:
    """Of the JSON that is none, or of the model whose row is wrong."""
    own = tmp_path / "own.json"
    own.write_text(text)
    status, _, err = prices("claude-opus-4-7", "--prices", own)
    assert (status, f"{own}:{line}: " in err) == (2, True)


def test_a_price_file_that_is_not_there(prices: Any, tmp_path: Path) -> None:
    """Its name and why: exit status 2."""
    status, _, err = prices("--prices", tmp_path / "none.json")
    assert status == 2
    assert "none.json cannot be read" in err


# All of them


def test_the_list(prices: Any) -> None:
    """Every vendor with its models, those that were retired only counted."""
    status, told, _ = prices()
    assert status == 0
    for vendor in BUILTIN_VENDORS:
        assert f"\n{vendor}: " in f"\n{told}"
    assert "claude-haiku-5-5" in told
    assert "claude-3-opus-20240229" not in told
    assert max(map(len, told.splitlines())) <= 100
    only = prices("--vendor", "zai")[1]
    assert only.startswith("zai: ")
    assert "claude" not in only


def test_a_reader_that_leaves() -> None:
    """`nexusflow prices | head` ends without a traceback."""
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} prices | true"], env=environment(), capture_output=True, timeout=LIMIT
    )
    assert done.stderr == b""


# check


def test_check(prices: Any) -> None:
    """Every difference in a line, then what was compared and what only one of the two knows."""
    pytest.importorskip("genai_prices")
    status, told, err = prices("check", "--at", "2026-11-22")
    assert err == ""
    *differences, compared, ours, theirs = told.splitlines()
    assert status == (1 if differences else 0)
    assert all(" here, " in line and line.endswith(" there") for line in differences)
    assert int(compared.split()[0]) > 100
    assert "of ours are unknown there: " in ours
    assert "of theirs are unknown here" in theirs


def test_check_finds_a_wrong_price(prices: Any, tmp_path: Path) -> None:
    """A row that says something else is named, price by price."""
    pytest.importorskip("genai_prices")
    wrong = {
        "input": "5",
        "output": "25",
        "cache_read": "0.51",
        "cache_write_5m": "6.25",
        "cache_write_1h": "10",
    }
    own = {"vendor": "anthropic", "models": [{"id": "claude-opus-4-7", "periods": [{"tiers": [wrong]}]}]}
    path = tmp_path / "own.json"
    path.write_text(json.dumps(own))
    status, told, _ = prices("check", "--prices", path)
    assert status == 1
    assert [line for line in told.splitlines() if "claude-opus-4-7" in line] == [
        "anthropic/claude-opus-4-7, read: 0.51 here, 0.5 there"
    ]


def test_check_without_genai_prices(prices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence on what is missing: exit status 2."""
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    status, told, err = prices("check")
    assert (status, told, err.count("\n")) == (2, "", 1)
    assert "pip install genai-prices" in err


def verb(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["check-prices", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_the_verb(prices: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`check-prices` compares as `prices check` does, with prices of one's own and on a day."""
    pytest.importorskip("genai_prices")
    assert verb(capsys, "--at", "2026-11-22") == prices("check", "--at", "2026-11-22")
    tier = {"input": "7", "output": "25", "cache_read": "0.5", "cache_write_5m": "6.25", "cache_write_1h": "10"}
    path = tmp_path / "own.json"
    own = {"vendor": "anthropic", "models": [{"id": "claude-opus-4-7", "periods": [{"tiers": [tier]}]}]}
    path.write_text(json.dumps(own))
    status, told, err = verb(capsys, "--prices", path, "--at", "2026-11-22")
    assert (status, err) == (1, "")
    assert "anthropic/claude-opus-4-7, input: 7 here, 5 there" in told.splitlines()


def test_the_verb_beside_a_model_of_its_name(prices: Any, capsys: Any, tmp_path: Path) -> None:
    """A model that is called check is told by `prices check`; the comparison has its own verb."""
    pytest.importorskip("genai_prices")
    path = tmp_path / "own.json"
    own = {"vendor": "house", "models": [{"id": "check", "periods": [{"tiers": [{"input": "1"}]}]}]}
    path.write_text(json.dumps(own))
    assert prices("check", "--prices", path)[1].startswith("house/check")
    assert "models compared with genai-prices" in verb(capsys, "--prices", path)[1]


def test_the_verb_without_genai_prices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence on what to install: exit status 2."""
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    status, told, err = verb(capsys)
    assert (status, told, err.count("\n")) == (2, "", 1)
    assert "check-prices needs genai-prices: pip install genai-prices" in err


def test_earlier_minimums_of_the_cache_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """With the day up to which each held."""
    assert main(["prices", "claude-sonnet-4-6"]) == 0
    assert (
        "cacheable before: 1,024 tokens until 2026-02-27, 2,048 tokens until 2026-05-14"
        in capsys.readouterr().out
    )


def test_models_of_genai_prices(prices: Any) -> None:
    """With the option, what only that package knows has a price, and says where it is from."""
    assert prices("cohere/command-r")[0] == 1
    status, out, _ = prices("cohere/command-r", "--genai-prices")
    assert status == 0
    assert out.startswith("cohere/command-r, from genai-prices\n")


def test_an_audit_compares_with_genai_prices(prices: Any) -> None:
    """The same as `check-prices`."""
    assert "models compared with genai-prices" in prices("audit")[1]
