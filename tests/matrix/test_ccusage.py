"""ccusage on the same transcripts of Claude Code: the same tokens and the same money, by day and model."""

import json
import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.asgi.serving import COMMAND, LIMIT
from tests.asgi.serving import environment as own_environment
from tests.matrix.environments import environment, plain_environ

pytestmark = pytest.mark.matrix

MODELS = ("claude-opus-4-7", "claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929")
"""Their prices have not changed, and no prompt here reaches another tier."""


def session(name: str, turns: int, begun: datetime, dice: random.Random) -> Iterator[dict[str, Any]]:
    """Lines of a session: one per block of an answer, all with its id; the last one has its final usage."""
    at, parent = begun, None
    for turn in range(turns):
        at += timedelta(seconds=40)
        told = {"sessionId": name, "isSidechain": False, "version": "2.1.0", "cwd": "/somewhere"}
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        user = f"{name}-{turn}"
        asked = {"role": "user", "content": "hello"}
        yield {"type": "user", "uuid": user, "parentUuid": parent, "timestamp": stamp, "message": asked, **told}
        parent, blocks = user, dice.randint(1, 3)
        short, long = dice.choice([(0, 0), (500, 0), (0, 2000), (100, 300)])
        usage = {
            "input_tokens": dice.randint(1, 40),
            "cache_creation_input_tokens": short + long,
            "cache_read_input_tokens": dice.randint(0, 60_000),
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "service_tier": "standard",
        }
        final, model = dice.randint(10, 900), dice.choice(MODELS)
        for block in range(blocks):
            counts = {**usage, "output_tokens": final if block == blocks - 1 else 1}
            message = {
                "id": f"msg_{user}",
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [],
            }
            line = {"type": "assistant", "uuid": f"{user}-{block}", "parentUuid": parent, "timestamp": stamp}
            yield {**line, "requestId": f"req_{user}", "message": {**message, "usage": counts}, **told}
            parent = line["uuid"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sessions, and one that was resumed and repeats the lines of the first."""
    dice, projects = random.Random(7), tmp_path / "projects" / "shop"
    projects.mkdir(parents=True)
    first = list(session("s1", 300, datetime(2026, 10, 5, 8, tzinfo=UTC), dice))
    second = list(session("s2", 200, datetime(2026, 10, 9, 8, tzinfo=UTC), dice))
    resumed = [{**line, "sessionId": "s3"} for line in first[:200]]
    for name, lines in (("s1", first), ("s2", second), ("s3", resumed)):
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (projects / f"{name}.jsonl").write_text(text)
    return tmp_path


def test_it_agrees_to_the_cent(folder: Path) -> None:
    """And beyond: what is left is the error of its floats."""
    made = environment("ccusage")
    script = made.node_modules / "ccusage" / "src" / "cli.js"
    command = [made.node, script, "claude", "daily", "--json", "--offline", "--breakdown", "--timezone", "UTC"]
    environ = plain_environ({"CLAUDE_CONFIG_DIR": str(folder)})
    out = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=LIMIT).stdout
    theirs = {
        (day.get("date") or day["period"], model["modelName"][:15]): (
            model["inputTokens"],
            model["cacheReadTokens"],
            model["cacheCreationTokens"],
            model["outputTokens"],
            Decimal(model["cost"]),
        )
        for day in json.loads(out)["daily"]
        for model in day["modelBreakdowns"]
    }
    command = [COMMAND, "cost", folder / "projects", "--by", "day,model", "--format", "json"]
    out = subprocess.run(command, env=own_environment(), capture_output=True, check=True, timeout=LIMIT).stdout
    ours = {
        (group["day"], group["model"][:15]): (
            group["input_tokens"],
            group["cache_read_tokens"],
            group["cache_write_5m_tokens"] + group["cache_write_1h_tokens"],
            group["output_tokens"],
            Decimal(group["cost_usd"]),
        )
        for group in json.loads(out)["groups"]
    }
    assert len(ours) == 6
    assert {name: counts for name, (*counts, _) in ours.items()} == {
        name: counts for name, (*counts, _) in theirs.items()
    }
    assert all(abs(ours[name][-1] - theirs[name][-1]) < Decimal("1e-9") for name in ours)
