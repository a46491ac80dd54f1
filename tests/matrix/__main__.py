"""`python -m tests.matrix`: runs the whole matrix and the clients, and stores what docs/hosts.md shows.

With arguments of pytest's (`-k litestar`) only those are run, and put in their places.
"""

import sys

import pytest

from tests.matrix.results import Collector

collector = Collector()
status = pytest.main(["-m", "matrix", "tests/matrix", "tests/clients", *sys.argv[1:]], plugins=[collector])
if status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
    collector.store(whole=not sys.argv[1:])
sys.exit(status)
