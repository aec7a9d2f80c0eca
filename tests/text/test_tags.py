"""Text ↔ bytes: nothing is lost, nothing is cut, no tag collides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import DiaTokenizer

from dialoom.errors import TextError
from dialoom.text import FREE_BYTES, TagTable, prepare_text

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(i) for i in range(32)]),
    min_size=1,
).filter(lambda text: text.strip())


@given(text=TEXTS)
def test_decode_is_the_inverse_of_encode(text: str) -> None:
    tags = TagTable.default()
    assert tags.decode(tags.encode(text)) == text
    assert tags.decode(tags.encode(f"[S1] {text} [S2] {text}")) == f"[S1] {text} [S2] {text}"


@pytest.mark.parametrize("text", ["[S1] Hello. [S2] Füße, 日本! (laughs)", "[S3] no tag", "[[S1]]"])
def test_ids_equal_dia_tokenizer(text: str) -> None:
    assert TagTable.default().encode(text) == DiaTokenizer()(text)["input_ids"]


def test_long_text_is_not_cut() -> None:
    assert len(TagTable.default().encode("a" * 5000)) == 5000


def test_language_is_one_byte_in_front() -> None:
    tags = TagTable.default()
    assert tags.encode("[S1] Ja", language="de") == [4, 1, *b" Ja"]
    with pytest.raises(TextError, match=r"language 'sv' has no tag: add '\[sv\]'"):
        tags.encode("[S1] Ja", language="sv")


@pytest.mark.parametrize("byte", [0, 9, 10, 13, 32, 65, 0x80, 0xC3, 0xF4, 256])
def test_tag_on_a_byte_of_text_is_refused(byte: int) -> None:
    """Forks gave speakers printable ASCII or byte 0: their voices came out random."""
    with pytest.raises(TextError, match="belongs to text or padding"):
        TagTable({"[anna]": byte})


def test_two_tags_on_one_byte_are_refused() -> None:
    with pytest.raises(TextError, match="share byte 1"):
        TagTable({"[S1]": 1, "[anna]": 1})


def test_free_bytes_never_occur_in_text() -> None:
    encoded = {byte for i in range(32, 0x3000) for byte in chr(i).encode()}
    encoded |= {byte for i in (0xFFFD, 0x10FFFF) for byte in chr(i).encode()}
    assert not encoded & FREE_BYTES


@pytest.mark.parametrize("text", ["", "  \n", "bell \x07", "nul \x00", "tag byte \x01", "\ud800"])
def test_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        TagTable.default().encode(text)


def test_script_starts_with_a_speaker() -> None:
    assert prepare_text(" A\n b ") == "[S1] A b"
    assert prepare_text("[S2] A") == "[S2] A"
    assert prepare_text("u\u0308") == "[S1] ü"
