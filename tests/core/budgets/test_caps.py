"""Caps: what they match, what they measure, and which ones are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core import Cap, ConfigError
from nexusflow_core.budgets import Balance, Budgets, Quantities, Settled, shown
from nexusflow_core.config import decode_config

AT = datetime(2026, 11, 29, tzinfo=UTC)


def budget(*scopes: str, **settings: Any) -> Any:
    [found] = Budgets([Cap(scope="user:*", window="day", **settings)]).of(scopes or ("user:u1",))
    return found


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"scope": "", "window": "day", "usd": "1"}, "scope"),
        ({"scope": "a*b", "window": "day", "usd": "1"}, "scope"),
        ({"scope": "a\n", "window": "day", "usd": "1"}, "scope"),
        ({"scope": "a" * 101, "window": "day", "usd": "1"}, "scope"),
        ({"scope": "a", "window": "year", "usd": "1"}, "window"),
        ({"scope": "a", "window": 0, "usd": "1"}, "window"),
        ({"scope": "a", "window": "day"}, "usd"),
        ({"scope": "a", "window": "day", "usd": "1", "requests": 1}, "requests"),
        ({"scope": "a", "window": "day", "usd": "1,00"}, "usd"),
        ({"scope": "a", "window": "day", "usd": "-1"}, "usd"),
        ({"scope": "a", "window": "day", "usd": "0.0000000001"}, "usd"),
        ({"scope": "a", "window": "day", "usd": "10000000"}, "usd"),
        ({"scope": "a", "window": "day", "tokens": 2**53}, "tokens"),
        ({"scope": "a", "window": "day", "usd": "1", "thresholds": (0,)}, "thresholds"),
        ({"scope": "a", "window": "day", "tokens": 1, "counts": ()}, "counts"),
        ({"scope": "a", "window": "day", "usd": "1", "counts": ("output",)}, "counts"),
        ({"scope": "a", "window": "day", "usd": "1", "unpriced": "assume"}, "unpriced"),
        ({"scope": "a", "window": "day", "usd": "1", "unpriced": "assume much"}, "unpriced"),
        ({"scope": "a", "window": "day", "tokens": 1, "unpriced": "free"}, "unpriced"),
        ({"scope": "a", "window": "day", "usd": "1", "degrade_to": "claude-haiku-4-5"}, "degrade_to"),
    ],
)
def test_mistakes(settings: dict[str, Any], path: str) -> None:
    """Each is named by its setting, in a Cap by hand and in a file."""
    with pytest.raises(ConfigError) as caught:
        Cap(**settings)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("caps = 1", "caps: needs one table per cap"),
        ('[[caps]]\nscope = "a"\nwindow = "day"\nusd = 20.5', "caps[0].usd"),
        ('[[caps]]\nscope = "a"\nwindow = "fortnight"\nusd = "1"', "caps[0].window: is one of hour, day"),
        (
            '[[caps]]\nscope = "a"\nwindow = "day"\nusd = "1"\nhard = false\ndegrade_to = "gpt"',
            "caps[0].degrade_to: no route serves the model 'gpt'",
        ),
        ('[[caps]]\nscope = "a"\nwindow = "day"\nusd = "1"\n' * 2, "caps[1]: is the same as caps[0]"),
        ('[ledger]\nurl = "postgresql://me:secret@db/x"', "ledger.url: has a password"),
        ('[ledger]\nurl = "nexusflow.db"', "ledger.url: is not the URL of a database"),
        ("[budgets]\ndeadline = 0", "budgets.deadline"),
        ('[auth.scopes]\nNOBODY = ["a"]', "auth.scopes.NOBODY: no key is called 'NOBODY'"),
        ('[auth]\nkeys = ["env:K"]\nscopes.K = [""]', "auth.scopes.K"),
    ],
)
def test_mistakes_of_a_file(text: str, words: str) -> None:
    """With the place, and without the password."""
    with pytest.raises(ConfigError) as caught:
        decode_config(text.encode())
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_caps_on_one_meter_share_its_window() -> None:
    """A soft and a hard cap of the same kind count once; the lowest hard limit refuses."""
    caps = [
        Cap(scope="user:*", window="day", usd="5", hard=False),
        Cap(scope="user:*", window="day", usd="30"),
        Cap(scope="user:u1", window="day", usd="20"),
        Cap(scope="user:u1", window="month", usd="99"),
    ]
    day, month = Budgets(caps).of(("user:u1", "team:red"))
    assert (len(day.caps), day.limit, len(month.caps)) == (3, 20 * 10**9, 1)


def test_a_caller_may_bring_caps_of_its_own() -> None:
    """As the keys of a database do."""
    own = (Cap(scope="key:k1", window="day", usd="1"),)
    configured = Cap(scope="team:*", window="day", usd="9")
    scopes = ("caller:ann", "key:k1", "team:red")
    assert [one.limit for one in Budgets([configured]).of(scopes, own)] == [10**9, 9 * 10**9]
    assert [one.limit for one in Budgets([configured]).of(scopes)] == [9 * 10**9]


def test_scopes_that_no_cap_names_count_nowhere() -> None:
    """Such a call asks no store."""
    assert Budgets([Cap(scope="team:*", window="day", usd="1")]).of(("user:u1",)) == ()


def test_amounts_are_exact() -> None:
    """Femto-dollars below a nano-dollar are kept beside it; a hold is rounded up and never zero."""
    it = budget(usd="1")
    window = it.meter.window(AT)
    charge = it.charge(window.key, Quantities(1_234_567_890_123), Quantities())
    assert (charge.amount, charge.rest) == (1_234_567, 890_123)
    assert it.claim(window, Quantities(1_234_567_890_123)).amount == 1_234_568
    assert it.claim(window, Quantities(0)).amount == 1


def test_tokens_without_a_price_at_an_assumed_rate() -> None:
    """USD per million tokens, rounded up."""
    it = budget(usd="1", unpriced="assume 15")
    charge = it.charge("w", Quantities(None, input=100, output=1), Quantities(None))
    assert charge.amount == 101 * 15_000


def test_a_price_that_vanished_is_charged_as_expected() -> None:
    """The answer named a model without a price: unknown is not zero."""
    charge = budget(usd="1").charge("w", Quantities(None, input=5), Quantities(7_000_000))
    assert charge.amount == 7


def test_each_threshold_is_crossed_once() -> None:
    """By the settlement that takes the sum over it, whichever process it is in."""
    it = budget(requests=10, thresholds=(50, 90, 100))
    window = it.meter.window(AT)
    crossed = [
        crossing.percent
        for used in range(12)
        for crossing in it.crossings(window, Settled("w", Balance(used), Balance(used + 1)))
    ]
    assert crossed == [50, 90, 100]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (20 * 10**9, "$20.00"),
        (400_000_000, "$0.40"),
        (1_500, "$0.000002"),
        (1234567 * 10**9, "$1,234,567.00"),
    ],
)
def test_amounts_for_people(amount: int, text: str) -> None:
    """Cents, or more places where they would hide it."""
    assert shown(amount, "usd") == text
    assert shown(1, "requests") == "1 request"
