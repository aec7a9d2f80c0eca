"""The doctor finds every planted fault in the clip that has it, and nothing bad in clean clips."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from planted_faults import (
    RATE_HZ,
    PlainCodec,
    clean_clips,
    faulty_clips,
    sentence,
    speech,
    write_corpus,
    write_source,
)
from typer.testing import CliRunner

import dialoom.evaluate.doctor_findings as findings_module
import dialoom.evaluate.doctor_subject as subject_module
from dialoom.audio import Waveform
from dialoom.cli.doctor import doctor_command
from dialoom.errors import CodecError, DataError
from dialoom.evaluate.doctor import Diagnosis, diagnose, undo_targets
from dialoom.evaluate.doctor_rules import RULES
from dialoom.evaluate.doctor_sound import bandwidth_hz, measure_sound
from dialoom.evaluate.doctor_subject import Limits, SubjectOptions, Utterance, open_subject
from dialoom.evaluate.doctor_text import NONVERBALS, check_texts, spoken
from dialoom.text import TagTable

IN_SOURCE_ONLY = {"empty-text", "silent"}
"""Faults that a corpus cannot show by the same id: a row of a table, a recording below one code."""


@pytest.fixture(autouse=True)
def plain_codec(monkeypatch):
    """Every name stands for the codec that changes nothing; all examples are kept."""
    monkeypatch.setattr(subject_module, "load_codec", lambda name, device: PlainCodec())
    monkeypatch.setattr(findings_module, "MAX_EXAMPLES", 1000)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> tuple[Path, Path]:
    """A source and a corpus with the same faults."""
    place = tmp_path_factory.mktemp("faulty")
    clips = faulty_clips()
    corpus = {name: clip for name, clip in clips.items() if name not in IN_SOURCE_ONLY}
    return write_source(place / "source", clips), write_corpus(place / "corpus", corpus)


def found(diagnosis: Diagnosis) -> dict[str, set[str]]:
    """The clips of each finding that is not good."""
    return {
        finding.code: {example.clip_id for example in finding.examples}
        for finding in diagnosis.findings
        if finding.severity != "good"
    }


def table_lines(clips: dict, names: set[str]) -> dict[str, str]:
    return {name: f"metadata.csv:{i}" for i, name in enumerate(clips, 1) if name in names}


@pytest.mark.parametrize("kind", ["source", "corpus"])
def test_every_planted_fault_is_found_in_its_clip(faulty, kind):
    diagnosis = diagnose(open_subject(faulty[kind == "corpus"]))
    symptoms = found(diagnosis)
    planted = [name for name in faulty_clips() if not name.startswith("clean")]
    rows = table_lines(faulty_clips(), {"empty-text"})
    for name in planted:
        if kind == "corpus" and name in IN_SOURCE_ONLY:
            continue
        assert rows.get(name, name) in symptoms.get(name, set()), name
    assert len(planted) > 20
    accused = {clip_id for code in symptoms for clip_id in symptoms[code]}
    assert not [clip_id for clip_id in accused if clip_id.startswith("clean")]


@pytest.mark.parametrize("kind", ["source", "corpus"])
def test_clean_clips_have_nothing_but_their_number_to_note(tmp_path, kind):
    write = write_source if kind == "source" else write_corpus
    diagnosis = diagnose(open_subject(write(tmp_path / kind, clean_clips())))
    assert found(diagnosis) == {"few-hours": {""}}
    assert {finding.code for finding in diagnosis.of("good")} == {
        rule.code for rule in RULES if rule.basis != "never" and rule.code != "few-hours"
    }
    assert len(diagnosis.sounds) == 24
    assert len(diagnosis.targets) == 6


def test_the_targets_are_the_clips(tmp_path):
    """What the loss asks for, undone and decoded, is the sound that was prepared, whole."""
    subject = open_subject(write_corpus(tmp_path / "corpus", clean_clips(3)))
    for index in range(3):
        clip = subject.clip(index)
        assert np.array_equal(undo_targets(clip, subject).frames, clip.codes.frames)
    for target in diagnose(subject).targets:
        samples = clean_clips(3)[target.clip_id][1]
        assert target.sound.samples[: len(samples)] == pytest.approx(samples, abs=2e-3)


def test_targets_of_a_source_are_those_that_prepare_would_make(tmp_path):
    """One hears what a model would be asked to say: without the silence before and after."""
    text, samples = clean_clips(1)["clean-00"]
    clips = {"padded": (text, np.pad(samples, 2 * RATE_HZ)), "silent": (text, 1e-5 * samples)}
    diagnosis = diagnose(open_subject(write_source(tmp_path / "source", clips)))
    assert [target.clip_id for target in diagnosis.targets] == ["padded"]
    length_s = len(samples) / RATE_HZ
    assert diagnosis.targets[0].sound.duration_s == pytest.approx(length_s, abs=0.4)


def test_targets_that_differ_are_told(tmp_path, monkeypatch):
    import dialoom.evaluate.doctor as doctor

    subject = open_subject(write_corpus(tmp_path / "corpus", clean_clips(2)))
    real = doctor.undelay_codes
    monkeypatch.setattr(doctor, "undelay_codes", lambda *arguments: real(*arguments)[:-1])
    assert found(diagnose(subject))["targets-differ"] == {"clean-00", "clean-01"}


def test_files_that_are_missing_or_no_audio(tmp_path):
    source = write_source(tmp_path / "source", clean_clips(6))
    (source / "wavs" / "clean-01.wav").unlink()
    (source / "wavs" / "clean-02.wav").write_bytes(b"")
    (source / "wavs" / "clean-03.wav").write_bytes(b"RIFF of nothing")
    symptoms = found(diagnose(open_subject(source)))
    assert symptoms["missing-audio"] == {"metadata.csv:2"}
    assert symptoms["unreadable-audio"] == {"clean-02", "clean-03"}


def test_an_mp3_that_does_not_say_its_length_is_as_long_as_prepare_finds_it(tmp_path):
    """Of varying bit rate, loud at first: libsndfile guesses from the first frame."""
    samples = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    samples[5_000:] *= 1e-3
    kind = {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.4}
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 22_050, **kind)
    whole = buffer.getvalue()
    second_frame = whole.index(whole[:2], whole.index(b"LAME"))
    (tmp_path / "a.mp3").write_bytes(whole[second_frame:])
    (tmp_path / "a.txt").write_text("some text")
    subject = open_subject(tmp_path)
    assert subject.utterances[0].duration_s == pytest.approx(2.0, abs=0.3)
    assert subject.utterances[0].duration_s == subject.sound(0).duration_s


def test_separators_of_lines_within_a_refusal_lose_no_other(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", clean_clips(2))
    refusals = [{"source": f"{i}.wav", "reason": "a\u2028b", "remedy": "mend"} for i in range(3)]
    lines = [json.dumps(refusal, ensure_ascii=False) + "\n" for refusal in refusals]
    (corpus / "rejected.jsonl").write_text("".join(lines), encoding="utf-8")
    assert len(open_subject(corpus).refused) == 3


def test_a_corpus_tells_what_prepare_left_out_and_which_split_is_empty(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", clean_clips(2), valid_fraction=0.0)
    record = {"source": "a.wav", "reason": "is silent", "remedy": "record it again"}
    (corpus / "rejected.jsonl").write_text(json.dumps(record) + "\n")
    symptoms = found(diagnose(open_subject(corpus)))
    assert symptoms["left-out"] == {"a.wav"}
    assert "no-valid" in symptoms


class Listed:
    """A subject of nothing but texts."""

    kind, name, codec_spec = "source", "texts", PlainCodec.spec
    codec = sound = clip = content_hash = lambda *_: None

    def __init__(self, utterances: list[Utterance], limits: Limits) -> None:
        self.utterances, self.refused, self.limits = utterances, [], limits


def utterance(number: int, text: str, **kwargs) -> Utterance:
    default = Utterance(str(number), text, None, None, 3.0)
    return replace(default, **kwargs)


def details(utterances: list[Utterance], code: str, limits: Limits | None = None) -> list[str]:
    subject = Listed(utterances, limits or Limits())
    return [symptom.detail for symptom in check_texts(subject) if symptom.code == code]


def test_languages_and_speakers():
    clips = [utterance(i, f"[S1] {sentence(i)}", language="en", speaker="a") for i in range(30)]
    clips += [utterance(99, "[S1] ひらがなだけで書きました。", language="ja", speaker="b")]
    assert details(clips, "languages-uneven") == ["ja: 0.1 minutes, the largest has 1.5"]
    assert details(clips, "speakers-uneven") == ["b: 0.1 minutes, the largest has 1.5"]
    assert details(clips, "language-without-tag") == ["ja"]
    assert details(clips, "multi-byte") == ["ja: 3.0 bytes a letter, so at most 341 letters a clip"]


def test_tags_and_sounds_in_brackets():
    clips = [utterance(0, "no tag (Laughs) at all"), utterance(1, "[S1] Hm (snorts) (snorts).")]
    assert details(clips, "no-tag") == ["no [S1]"]
    assert details(clips, "unknown-nonverbal") == ["(snorts)"]
    assert details(clips, "one-speaker") == ["[S2] is in no transcript"]
    assert spoken("[S1] Hm (laughs) yes. [S2] No") == "Hm yes. No"
    assert len(NONVERBALS) == 21 and "(clears throat)" in NONVERBALS


def test_a_model_and_a_recipe_have_limits_and_tags_of_their_own():
    tags = TagTable({**TagTable.default().bytes_of_tags, "[S3]": 20, "[ja]": 21})
    limits = Limits(tags, 100, 200, recipe_text_bytes=60, recipe_seconds=2.5)
    clips = [
        utterance(0, "[S1] " + "x" * 120, duration_s=2.0),
        utterance(1, "[S1] short [S3] tag", duration_s=2.6, language="ja"),
        utterance(2, "[S1] fits [S4] all but", duration_s=2.0),
    ]
    assert details(clips, "over-bytes", limits) == ["122 bytes of 100"]
    assert details(clips, "over-recipe", limits) == [
        "122 bytes, data.max_text_bytes is 60",
        "2.6 s, data.max_seconds is 2.5",
    ]
    assert len(details(clips, "over-steps", limits)) == 3
    assert details(clips, "unknown-tag", limits) == ["[S4]"]
    assert details(clips, "language-without-tag", limits) == []
    assert details(clips, "over-bytes") == details(clips, "over-recipe") == []
    assert details(clips, "language-without-tag") == ["ja"]


@pytest.mark.parametrize("cutoff_hz", [4_000, 8_000, 11_025])
def test_bandwidth_is_that_of_the_sound_and_not_of_the_file(cutoff_hz):
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=44_100))
    spectrum[cutoff_hz:] = 0
    samples = np.fft.irfft(spectrum).astype(np.float32)
    assert bandwidth_hz(Waveform(samples, 44_100)) == pytest.approx(cutoff_hz, rel=0.05)


def test_sound_of_any_length_is_measured():
    for num_samples in (1, 2, 319, 800):
        measures = measure_sound(Waveform(np.full(num_samples, 0.5, np.float32), RATE_HZ))
        assert measures is not None and np.isfinite(measures.loudness_db)
    assert measure_sound(Waveform(np.zeros(800, np.float32), RATE_HZ)) is None


def test_without_its_codec_the_texts_of_a_corpus_are_examined(tmp_path, monkeypatch):
    def refuse(name, device):
        raise CodecError("there is no such codec")

    monkeypatch.setattr(subject_module, "load_codec", refuse)
    diagnosis = diagnose(open_subject(write_corpus(tmp_path / "corpus", clean_clips(2))))
    assert "not-heard" in found(diagnosis)
    assert "clipping" not in {finding.code for finding in diagnosis.findings}


def test_another_codec_is_refused(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", clean_clips(1))
    info = json.loads((corpus / "corpus.json").read_text())
    assert info["codec"]["content_hash"] == "e" * 64
    subject = open_subject(corpus)
    subject.codec_spec = replace(subject.codec_spec, content_hash="1" * 64)
    assert "not-heard" in found(diagnose(subject))


def test_numbers_below_zero_are_refused(tmp_path):
    subject = open_subject(write_corpus(tmp_path / "corpus", clean_clips(1)))
    with pytest.raises(DataError, match="max_clips -1: must be at least 0"):
        diagnose(subject, max_clips=-1)
    assert diagnose(subject, max_clips=0, num_targets=0).sounds == {}


def run(*arguments: str):
    app = typer.Typer()
    app.command()(doctor_command)
    return CliRunner().invoke(app, list(arguments))


def test_the_command(faulty, tmp_path):
    out = tmp_path / "found.json"
    result = run(str(faulty[0]), "--json", str(out), "--strict")
    assert result.exit_code == 1, result.output
    assert "bad       1 × clipped recordings" in result.output
    assert "take the recordings before they were amplified" in result.output
    content = json.loads(out.read_text())
    assert content["counts"]["bad"] >= 12
    assert {finding["code"] for finding in content["findings"]} >= {"clipping", "silent"}
    assert run(str(faulty[0]), "--max-clips", "1", "--targets", "0").exit_code == 0


def test_the_command_takes_a_format_columns_and_a_recipe(tmp_path):
    source = write_source(tmp_path / "source", clean_clips(3))
    rows = [line.partition("|") for line in (source / "metadata.csv").read_text().splitlines()]
    table = source / "list.csv"
    lines = [f'wavs/{name}.wav,"{text} [S3] so",en' for name, _, text in rows]
    table.write_text("\n".join(["sound,said,locale", *lines]), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model: {tags: {'[S3]': 20}}\ndata: {corpus: c, max_seconds: 2.65}\ntrain: {steps: 1}\n"
    )
    out = tmp_path / "found.json"
    named = (str(table), "--format", "csv", "--columns", "audio=sound,text=said")
    common = ("--targets", "1", "--json", str(out))
    assert run(*named, *common).exit_code == 0
    codes = {f["code"]: f["num_found"] for f in json.loads(out.read_text())["findings"]}
    assert codes["unknown-tag"] == 3
    assert "over-recipe" not in codes
    assert run(*named, *common, "--recipe", str(recipe)).exit_code == 0
    codes = {f["code"]: f["num_found"] for f in json.loads(out.read_text())["findings"]}
    assert (codes["unknown-tag"], codes["over-recipe"]) == (0, 3)
    assert isinstance(run(*named[:3]).exception, DataError), "a table without the usual names"


def test_a_format_that_is_asked_for_is_of_a_source(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", clean_clips(1))
    assert open_subject(corpus).kind == "corpus"
    with pytest.raises(DataError, match="LJSpeech needs metadata"):
        open_subject(corpus, SubjectOptions(format="ljspeech"))


def test_strict_is_content_with_clean_clips(tmp_path):
    source = write_source(tmp_path / "source", clean_clips(8))
    assert run(str(source), "--strict").exit_code == 0


def test_the_command_line_has_it():
    from dialoom.cli.main import app as command_line

    result = CliRunner().invoke(command_line, ["doctor", "--help"])
    assert result.exit_code == 0
    assert "CORPUS_OR_SOURCE" in result.output


def test_a_terminal_is_not_obeyed(tmp_path):
    clips = clean_clips(2) | {"x": ("[S1] a <\x1b[31m> red [S2] b", speech(1))}
    result = run(str(write_corpus(tmp_path / "corpus", clips)))
    assert "\x1b" not in result.output
