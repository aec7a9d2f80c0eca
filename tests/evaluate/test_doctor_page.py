"""The doctor's page: one file, sound inside, and no text of a corpus becomes markup."""

import re
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from planted_faults import PlainCodec, clean_clips, faulty_clips, speech, write_corpus, write_source

import dialoom.evaluate.doctor_subject as subject_module
from dialoom.evaluate.doctor import diagnose
from dialoom.evaluate.doctor_page import histogram, report_style, write_page
from dialoom.evaluate.doctor_subject import open_subject

HOSTILE = "[S1] <script>alert(1)</script> & \"quotes\" 'here' [S2] yes (yodels)"


@pytest.fixture(autouse=True)
def plain_codec(monkeypatch):
    monkeypatch.setattr(subject_module, "load_codec", lambda name, device: PlainCodec())


def render(place: Path, **kwargs: int) -> Page:
    subject = open_subject(place)
    path = place.parent / "page.html"
    write_page(path, diagnose(subject, **kwargs), subject)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself_and_shows_every_finding(tmp_path):
    page = render(write_source(tmp_path / "source", faulty_clips()))
    addresses = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert all((address or "").startswith("data:") for address in addresses)
    assert page.all("script") == []
    sections = [s["id"] for s in page.all("section") if "id" in s]
    assert {"clipping", "over-bytes", "unknown-nonverbal", "duplicate-audio"} <= set(sections)
    labels = " ".join(audio["aria-label"] or "" for audio in page.all("audio"))
    assert "clipping" in labels and "narrow-band" in labels
    assert re.search(r"\d+ things spoil this source", page.text)
    assert str(tmp_path) not in page.text


def test_texts_of_the_corpus_are_text(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", {"<b>id</b>": (HOSTILE, speech(1))})
    page = render(corpus)
    assert page.all("script") == []
    assert HOSTILE in page.text
    assert "<b>id</b>" in page.text


def test_the_targets_can_be_heard(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", clean_clips(9))
    page = render(corpus, num_targets=4, max_clips=0)
    assert len(page.all("audio")) == 4
    assert "What the model is asked to say" in page.text
    assert "Nothing spoils this corpus" in page.text
    assert "Loudness" not in page.text


def test_the_style_is_that_of_the_report():
    assert "--paper" in report_style() and "prefers-color-scheme: dark" in report_style()
    assert "{{" not in report_style() and "</style" not in report_style()


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [-30.0, -20.0, -25.0], [0.0, 1e5]])
def test_a_histogram_of_any_values(values):
    chart = histogram("Length", "s", values)
    assert chart.bars.count("M") == len(np.unique(values))
    assert 1 <= len(chart.x_ticks) <= 6
    assert all(-0.01 <= tick.percent <= 100.01 for tick in chart.x_ticks)
