"""Differences between answers."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.diffs import MAX_PIECES, Change, diff, diff_for_display, split_at
from app.domain.texts import pieces, words

TEXTS = st.text(max_size=60) | st.text(alphabet="ab 我是,。\n", max_size=40)


def joined(parts: object, *changes: Change) -> str:
    return "".join(piece.text for piece in parts if piece.change in changes)  # type: ignore[attr-defined]


def marks(old: str, new: str) -> list[tuple[str, str]]:
    return [(piece.change.value, piece.text) for piece in diff(old, new)]


@given(TEXTS, TEXTS)
def test_a_difference_holds_both_texts_whole(old: str, new: str) -> None:
    """Without what is gone it is the new text, without what is new the old one."""
    parts = diff(old, new)

    assert joined(parts, Change.SAME, Change.NEW) == new
    assert joined(parts, Change.SAME, Change.GONE) == old


@given(TEXTS, TEXTS)
def test_what_is_shown_still_holds_the_whole_new_text(old: str, new: str) -> None:
    """Taking spaces out of the marks loses none of them."""
    parts = diff_for_display(old, new)

    assert joined(parts, Change.SAME, Change.NEW) == new
    assert all(piece.text for piece in parts)


@given(TEXTS)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    """Nothing is marked where nothing changed."""
    assert all(piece.change is Change.SAME for piece in diff(text, text))


@given(TEXTS)
def test_pieces_joined_again_are_the_text(text: str) -> None:
    """Splitting loses no character, whatever its script."""
    assert "".join(pieces(text)) == text


@given(TEXTS)
def test_words_stand_where_they_say(text: str) -> None:
    """Spans are in order, inside the text, and hold no space."""
    found = words(text)

    assert len(found.text) == len(found.spans)
    assert all(text[start:end].split() == [text[start:end]] for start, end in found.spans)
    assert list(found.spans) == sorted(found.spans)


def test_latin_text_is_compared_by_words() -> None:
    """One letter more is one word changed."""
    assert marks("I am a cat.", "I am a cats.") == [
        ("same", "I am a "),
        ("gone", "cat"),
        ("new", "cats"),
        ("same", "."),
    ]


def test_chinese_is_compared_by_characters() -> None:
    """Only the characters that came are marked."""
    assert marks("一个小模型。", "一个用 XTuner 微调的小模型。") == [
        ("same", "一个"),
        ("new", "用 XTuner 微调的"),
        ("same", "小模型。"),
    ]


def test_changes_with_only_a_space_between_are_one() -> None:
    """A sentence that was replaced reads as replaced, not as a row of single words."""
    assert marks("red green blue", "one two three") == [("gone", "red green blue"), ("new", "one two three")]


def test_an_emoji_is_never_cut_in_two() -> None:
    """A family of four code points is one word."""
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"

    assert ("new", family) in marks("hello", f"hello {family}") or ("new", f" {family}") in marks(
        "hello", f"hello {family}"
    )


def test_texts_beyond_the_bound_are_compared_as_wholes() -> None:
    """Two books do not hold up a page."""
    old, new = "a " * MAX_PIECES, "b " * MAX_PIECES

    assert [piece.change for piece in diff(old, new)] == [Change.GONE, Change.NEW]


@given(TEXTS, TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_a_part_of_the_new_text_is_cut_out_of_its_pieces(old: str, new: str, start: int, end: int) -> None:
    """The pieces still are the text, and those in the part are the part, word for word."""
    start, end = sorted((min(start, len(new)), min(end, len(new))))
    parts = diff_for_display(old, new)

    split = split_at(parts, (start, end))

    kept = [(piece, is_in) for piece, is_in in split if piece.change is not Change.GONE]
    assert "".join(piece.text for piece, _ in kept) == new
    assert "".join(piece.text for piece, is_in in kept if is_in) == new[start:end]
    assert [piece for piece, _ in split if piece.change is Change.GONE] == [
        piece for piece in parts if piece.change is Change.GONE
    ]
