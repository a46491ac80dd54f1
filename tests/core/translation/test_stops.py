"""Stop strings found as the text passes: the same as in the whole text, in any cut, however many there are."""

from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.translation.stops import StopFinder
from tests.cuts import cut, cuts

LETTERS = st.text(alphabet="ab", max_size=5)


def naive(text: str, stops: list[str]) -> tuple[str, str | None]:
    """What goes out and what was found, letter by letter."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(st.text(alphabet="abc", max_size=30), st.lists(LETTERS, max_size=6), cuts())
def test_any_cut_finds_what_a_reader_of_letters_finds(text: str, stops: list[str], places: list[int]) -> None:
    """The string that is whole first; of those that end together the longest."""
    finder = StopFinder(stops)
    out = "".join(finder.feed(piece.decode()) for piece in cut(text.encode(), places))
    assert (out + finder.flush() if finder.found is None else out, finder.found) == naive(text, stops)


@given(st.text(alphabet="ab", max_size=20), st.lists(LETTERS, max_size=4), cuts())
def test_no_more_is_held_back_than_may_begin_a_stop_string(
    text: str, stops: list[str], places: list[int]
) -> None:
    """Whatever can be no beginning goes out with its own piece."""
    finder, came, out = StopFinder(stops), "", ""
    for piece in cut(text.encode(), places):
        came, out = came + piece.decode(), out + finder.feed(piece.decode())
        if finder.found is None:
            held = came[len(out) :]
            beginnings = [came[n:] for n in range(len(came)) if any(s.startswith(came[n:]) for s in stops)]
            assert held == max(beginnings, key=len, default="")


@given(st.text(alphabet="ab", max_size=8), st.text(alphabet="ab", max_size=12), cuts())
def test_an_echo_is_left_out_in_any_cut(echo: str, text: str, places: list[int]) -> None:
    """Where the answer begins otherwise all of it goes out, and so does half an echo."""
    finder = StopFinder((), echo)
    out = "".join(finder.feed(piece.decode()) for piece in cut(text.encode(), places)) + finder.flush()
    assert out == text.removeprefix(echo)


def test_special_characters_are_letters_like_any_other() -> None:
    """Brackets, carets and backslashes begin stop strings too."""
    for stop in ("]x", "^x", "-x", "\\x", "[x", "$", "\n\n"):
        finder = StopFinder([stop, "zz"])
        assert (finder.feed(f"a{stop[0]}") + finder.feed(f"{stop[1:]}b"), finder.found) == ("a", stop)


def test_no_stop_string_spans_two_texts() -> None:
    """A text that ends, such as one before a call, is not continued by the next."""
    finder = StopFinder(["STOP"])
    assert finder.feed("a ST") + finder.flush() == "a ST"
    assert (finder.feed("OP b"), finder.found) == ("OP b", None)
    assert (finder.feed(" STOP c"), finder.found) == (" ", "STOP")
