"""Word and character errors against jiwer's own figures, and what counts as the same word."""

import sys
from collections.abc import Sequence
from statistics import mean

import jiwer
import numpy as np
import pytest

from dialoom.audio import Waveform
from dialoom.audio.transcribe import Transcriber, Transcript
from dialoom.errors import AudioError, MissingExtra
from dialoom.evaluate.words import count_errors, normalise, transcribe_all

PAIRS = [
    ("the cat sat on the mat", "the cat sat on the mat"),
    ("the cat sat on the mat", "a cat sat the mat now"),
    ("guten morgen", ""),
    ("wie geht es ihnen", "wie gehts"),
    ("one", "one two three four"),
    ("völlig verschieden", "ganz anders als das"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[S1] Hello, World! [S2] Yes.", "hello world yes"),
        ("[S1] (laughs) Oh (Clears Throat) no.", "oh no"),
        ("(see below) is said", "see below is said"),
        ("[anna] Don't, it’s mine", "dont its mine"),
        ("well-known – or — not…", "well known or not"),
        ("Ｆｕｌｌ ﬁne ①", "full fine 1"),
        ("Äpfel «über» „Öl“", "äpfel über öl"),
        ("It costs 42 €.", "it costs 42 €"),
        ("नमस्ते।", "नमस्ते"),
        ("", ""),
    ],
)
def test_what_is_written_and_not_said_is_left_out(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_errors_of_each_sentence_are_those_of_jiwer() -> None:
    for text, heard in PAIRS:
        found = count_errors(text, heard)
        assert found.word_error_rate == pytest.approx(jiwer.wer(text, heard))
        squeezed = text.replace(" ", ""), heard.replace(" ", "")
        assert found.character_error_rate == pytest.approx(jiwer.cer(*squeezed))
        assert found.num_words == len(text.split())


def test_errors_of_a_corpus_are_those_of_jiwer_and_not_the_mean() -> None:
    texts, heard = zip(*PAIRS, strict=True)
    found = [count_errors(*pair) for pair in PAIRS]
    together = sum(f.word_errors for f in found) / sum(f.num_words for f in found)
    assert together == pytest.approx(jiwer.wer(list(texts), list(heard)))
    assert mean(f.word_error_rate for f in found) != pytest.approx(together)


def test_both_sides_are_brought_into_one_form() -> None:
    found = count_errors("[S1] Don't! (laughs) It's well-known.", "dont its “well” known")
    assert (found.word_errors, found.num_words, found.character_errors) == (0, 4, 0)
    assert found.heard == "dont its “well” known"


def test_a_text_without_words_has_no_rate() -> None:
    found = count_errors("[S1] (laughs)", "ha ha")
    assert (found.word_errors, found.num_words) == (2, 0)
    assert np.isnan(found.word_error_rate) and np.isnan(found.character_error_rate)


class _Counting(Transcriber):
    """Writes how many seconds it heard; knows one language."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str | None]] = []

    @property
    def name(self) -> str:
        return "counting"

    def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list[Transcript]:
        if language not in (None, "de"):
            raise AudioError(f"does not know {language}")
        self.calls.append((len(waveforms), language))
        assert all(w.sample_rate_hz == 16_000 and w.duration_s <= 30 for w in waveforms)
        return [Transcript(f"{w.duration_s:.1f}", 1.0) for w in waveforms]


def _silence(duration_s: float, rate_hz: int = 8_000) -> Waveform:
    return Waveform(np.zeros(round(duration_s * rate_hz), np.float32), rate_hz)


def test_long_clips_are_heard_in_windows_and_languages_apart() -> None:
    listener = _Counting()
    clips = [_silence(s) for s in (1.0, 65.0, 0.0, 2.0, 3.0)]
    heard = transcribe_all(listener, clips, ["de", None, "de", "tlh", "de"])
    assert heard == ["1.0", "30.0 30.0 5.0", "", "2.0", "3.0"]
    assert sorted(listener.calls, key=str) == [(1, None), (2, "de"), (3, None)]


def test_no_more_windows_at_once_than_fit() -> None:
    listener = _Counting()
    assert len(transcribe_all(listener, [_silence(0.5)] * 19, [None] * 19)) == 19
    assert [size for size, _ in listener.calls] == [8, 8, 3]


def test_a_failure_that_is_not_about_the_language_is_not_hidden() -> None:
    class Broken(_Counting):
        def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list:
            raise AudioError("broken")

    with pytest.raises(AudioError, match="broken"):
        transcribe_all(Broken(), [_silence(1.0)], ["de"])


def test_without_jiwer_the_line_to_install_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(MissingExtra, match=r"needs jiwer; run: pip install 'dialoom\[asr\]'"):
        count_errors("a", "b")
