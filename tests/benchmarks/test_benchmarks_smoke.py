"""The benchmarks run. What they measure is never judged here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_quick_run_prints_every_table() -> None:
    """`python -m benchmarks --quick` ends well and shows each thing that it compares."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in (
        "CPython",
        "cores",
        "SSEDecoder.feed",
        "encode_sse",
        "peek",
        "bare aiohttp proxy",
        "call log",
        "ChatLeg.receive_data",
        "OpenAIChatDialect.open",
    ):
        assert words in done.stdout
