"""The keys that tests plant, and the look for them in whatever comes out: answers, records, logs, terminals.

Every key of a test begins with `sk-`, so that one look finds them all.
"""

from __future__ import annotations

import re

_KEY = re.compile(rb"\bsk-[a-z][\w-]{3,}")


def assert_no_key(text: bytes | str, where: str) -> None:
    """Fails where a planted key shows."""
    found = _KEY.search(text if isinstance(text, bytes) else text.encode(errors="replace"))
    assert found is None, f"{where} shows the key {found[0]!r}" if found else ""
