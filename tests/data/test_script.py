"""Transcripts become what Dia reads."""

import pytest

from dialoom.data.script import text_ids
from dialoom.text import TagTable, prepare_text


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("Hello.", "[S1] Hello."),
        ("[S1] Hello.", "[S1] Hello."),
        ("[S2] Hello. [S1] Yes?", "[S2] Hello. [S1] Yes?"),
        ("  two\n\tlines  ", "[S1] two lines"),
        ("Cafe\u0301", "[S1] Caf\u00e9"),
        ("(laughs) [sic]", "[S1] (laughs) [sic]"),
    ],
)
def test_prepare_text(text: str, prepared: str) -> None:
    assert prepare_text(text) == prepared
    assert prepare_text(prepared) == prepared


def test_a_language_byte_leads_if_the_table_has_one() -> None:
    tags = TagTable.default()
    assert text_ids("[S1] a", None, tags) == [1, 32, 97]
    assert text_ids("[S1] a", "de", tags) == [4, 1, 32, 97]
    assert text_ids("[S1] a", "tlh", tags) == [1, 32, 97]
