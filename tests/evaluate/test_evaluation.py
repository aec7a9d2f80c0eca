"""A model measured on a corpus: loss, speech, ceiling, and what is refused."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from helpers import small_model
from parrot import NUM_CLIPS, write_sentences
from tiny_judges import save_scripted, save_tiny_xvector
from tiny_whisper import save_tiny_whisper
from typer.testing import CliRunner

from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.cli.evaluate import evaluate_command
from dialoom.codec import CodecSpec, Codes
from dialoom.data import Clip, Corpus, CorpusWriter
from dialoom.errors import AudioError, CheckpointError, DataError
from dialoom.evaluate import evaluation as module
from dialoom.evaluate.evaluation import evaluate_model
from dialoom.evaluate.figures import count_up
from dialoom.evaluate.material import EvaluateOptions
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.decode import Generated, Request

PLAIN = SamplingSettings(cfg_scale=0)

app = typer.Typer()
app.command()(evaluate_command)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recordings/`, a `corpus/` of them, all in `train`, and a `model/` that knows nothing."""
    path = tmp_path_factory.mktemp("evaluate")
    spec = write_sentences(path).info.codec
    save_pretrained(small_model(), ModelInfo(codec=spec), path / "model")
    return path


@pytest.fixture(scope="module")
def synthesizer(place: Path) -> Synthesizer:
    return Synthesizer.load(place / "model")


@pytest.fixture(scope="module")
def corpus(place: Path) -> Corpus:
    return Corpus.open(place / "corpus")


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch, corpus: Corpus) -> list[int]:
    """Speech is the clips' own codes; the batch sizes that were asked for."""
    frames = {corpus[i].text: corpus[i].codes.frames for i in range(NUM_CLIPS)}
    sizes = []

    def speak(
        model: object, requests: Sequence[Request], settings: object, *, max_frames: int
    ) -> list[Generated]:
        sizes.append(len(requests))
        spoken = []
        for request in requests:
            text = next(
                text for text in frames if text.encode()[-4:] == bytes(request.text_ids[-4:])
            )
            assert len(frames[text]) < max_frames
            spoken.append(Generated(torch.from_numpy(frames[text].astype(np.int64)), stopped=True))
        return spoken

    monkeypatch.setattr(Synthesizer, "generate", speak)
    return sizes


def test_a_model_that_says_the_codes_reaches_the_ceiling(
    perfect: list[int], synthesizer: Synthesizer, corpus: Corpus, place: Path
) -> None:
    options = EvaluateOptions(split="all", seeds=2, recordings=place / "recordings")
    found = evaluate_model(synthesizer, corpus, options)
    rows = (found.attempts, found.ceiling, found.recordings)
    figures = count_up(rows, num_compared=1, ceiling=found.ceiling)
    spoken, ceiling, recordings = zip(*figures.estimates.values(), strict=True)
    for of_speech, of_codec in zip(spoken, ceiling, strict=True):
        assert of_speech == of_codec or math.isnan(of_speech.value)
    shown = dict(zip(figures.estimates, spoken, strict=True))
    assert shown["retrieval"].value == shown["length_within"].value == 1
    assert shown["distortion_db"].value > 0.1 and shown["distortion_ratio"].value == 1
    assert shown["frames_late"].value == 0
    assert shown["f0_hz"].value == pytest.approx(110, rel=0.02)
    assert len(found.ceiling) == len(found.recordings) == NUM_CLIPS
    assert found.distortion_ratio == pytest.approx(1)
    own = dict(zip(figures.estimates, recordings, strict=True))
    assert math.isnan(own["distortion_db"].value)
    assert own["f0_hz"].value == pytest.approx(110, rel=1e-4)
    assert {(a.clip_id, a.seed) for a in found.attempts} == {
        (f"clip-{i}", seed) for i in range(NUM_CLIPS) for seed in range(2)
    }


def test_progress_is_told_batch_by_batch(
    perfect: list[int], synthesizer: Synthesizer, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPEECH_BATCH_SIZE", 5)
    told: list[tuple[int, int]] = []
    options = EvaluateOptions(split="train", seeds=2)
    evaluate_model(synthesizer, corpus, options, progress=lambda *now: told.append(now))
    assert told == [(5, 12), (10, 12), (12, 12)]
    assert perfect == [5, 5, 2]


def test_the_loss_does_not_depend_on_the_batches(
    perfect: list[int], synthesizer: Synthesizer, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EvaluateOptions(split="train", seeds=1)
    together = evaluate_model(synthesizer, corpus, options).loss
    monkeypatch.setattr(module, "LOSS_BATCH_SIZE", 1)
    alone = evaluate_model(synthesizer, corpus, options).loss
    assert alone.loss_channels == pytest.approx(together.loss_channels, rel=1e-5)
    assert alone.num_clips == NUM_CLIPS and len(alone.accuracy_channels) == 9


def test_fewer_clips_are_spread_over_the_lengths(
    perfect: list[int], synthesizer: Synthesizer, corpus: Corpus
) -> None:
    options = EvaluateOptions(split="train", max_clips=3, seeds=1)
    chosen = [attempt.clip_id for attempt in evaluate_model(synthesizer, corpus, options).attempts]
    sounds = [4 + int(clip_id[-1]) % 3 for clip_id in chosen]
    assert sounds == [4, 5, 6]


def test_an_untrained_model_is_measured_and_runs_on(
    synthesizer: Synthesizer, corpus: Corpus
) -> None:
    options = EvaluateOptions(split="train", max_clips=2, seeds=2, sampling=PLAIN)
    found, again = (evaluate_model(synthesizer, corpus, options) for _ in range(2))
    assert found.loss == again.loss and len(found.attempts) == 4
    for one, other in zip(found.attempts, again.attempts, strict=True):
        assert repr(one) == repr(other)  # NaN is not equal to itself
    assert found.distortion_ratio is None and not found.recordings
    assert not all(attempt.measures.stopped for attempt in found.attempts)
    assert any(attempt.measures.distortion_db > 1 for attempt in found.attempts)
    assert all(attempt.is_reference for attempt in found.ceiling)


def test_other_codes_are_refused(synthesizer: Synthesizer, tmp_path: Path) -> None:
    other = CodecSpec("other", "1" * 64, 44_100, 512, 9, 1024)
    writer = CorpusWriter(tmp_path, other)
    writer.write(0, [Clip("a", "[S1] A.", None, None, Codes(np.zeros((5, 9), np.uint16)))])
    writer.finish(1)
    with pytest.raises(DataError, match="made by codec other"):
        evaluate_model(synthesizer, Corpus.open(tmp_path), EvaluateOptions(split="all"))


def test_an_empty_split_is_refused(synthesizer: Synthesizer, corpus: Corpus) -> None:
    with pytest.raises(DataError, match=r"split .valid.*--valid-fraction"):
        evaluate_model(synthesizer, corpus, EvaluateOptions())


def test_a_missing_recording_is_refused(
    synthesizer: Synthesizer, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(AudioError, match="no such file"):
        evaluate_model(synthesizer, corpus, EvaluateOptions(split="all", recordings=tmp_path))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "test"}, "split 'test' is unknown; choose valid, train or all"),
        ({"max_clips": 0}, "max_clips 0: must be at least 1"),
        ({"seeds": 0}, "seeds 0: must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        EvaluateOptions(**wrong)  # type: ignore[arg-type]


def _run(*arguments: str | Path) -> list[str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout.splitlines()


def test_the_command_prints_a_table_and_writes_json(
    perfect: list[int], place: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    arguments = ["--split", "all", "--seeds", "1", "--json", out]
    lines = _run(
        place / "model", place / "corpus", *arguments, "--recordings", place / "recordings"
    )
    assert lines[0].startswith("6 clips of split all, each spoken with 1 seeds")
    assert lines[2].split() == ["loss,", "nats,", "by", "channel", "mean", *"012345678"]
    (head,) = (i for i, line in enumerate(lines) if line.startswith("what it sounds like"))
    rows = {line[:32].strip(): line for line in lines[head + 1 : head + 4]}
    name = next(name for name in rows if name.startswith("a "))
    assert "100.0 [100.0, 100.0]" in rows[name] and "1.00 [1.00, 1.00]" in rows[name]
    assert rows[name].split()[-6:] == rows["codec alone"].split()[-6:]
    assert rows["recordings"].split()[1:] == ["–", "–", "–"]
    content = json.loads(out.read_text())
    (model,) = content["models"]
    assert content["finished"] and model["finished"]
    assert model["distortion_ratio"] == pytest.approx(1)
    assert model["speech"]["retrieval"] == {"value": 1, "low": 1, "high": 1}
    assert len(model["attempts"]) == NUM_CLIPS
    assert model["perplexity"] == pytest.approx(math.exp(model["loss"]["loss"]))
    assert content["options"]["recordings"] == str(place / "recordings")


def test_the_command_without_recordings_writes_null_for_what_it_cannot_know(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say_nothing(
        model: object, requests: Sequence[Request], settings: object, *, max_frames: int
    ) -> list[Generated]:
        nothing = torch.zeros(0, 9, dtype=torch.long)
        return [Generated(nothing, stopped=True) for _ in requests]

    monkeypatch.setattr(Synthesizer, "generate", say_nothing)
    out = tmp_path / "out.json"
    lines = _run(place / "model", place / "corpus", "--split", "train", "--json", out)
    assert any("--recordings" in line for line in lines)
    content = json.loads(out.read_text())
    (model,) = content["models"]
    assert model["distortion_ratio"] is model["attempts"][0]["measures"]["distortion_db"] is None
    assert model["speech"]["empty"]["value"] == 1
    assert model["speech"]["characters_per_second"]["value"] is None
    assert list(content["references"]) == ["codec alone"]


def test_the_base_of_a_run_stands_above_it(perfect: list[int], place: Path, tmp_path: Path) -> None:
    """The recipe names it; `last` and the run's directory are the same checkpoint."""
    checkpoint = tmp_path / "run" / "checkpoints" / "step_00000002"
    spec = Corpus.open(place / "corpus").info.codec
    save_pretrained(small_model(seed=1), ModelInfo(codec=spec), checkpoint)
    (tmp_path / "run" / "checkpoints" / "last").symlink_to(checkpoint.name)
    (tmp_path / "run" / "recipe.yaml").write_text(f"model: {{base: {place / 'model'}}}")
    quick = ("--split", "all", "--seeds", "1")
    lines = _run(tmp_path / "run", place / "corpus", *quick)
    base, run = (line.split()[:2] for line in lines[3:5])
    assert base[0] == "a" and base[1].endswith("/model")
    assert run[0] == "b" and run[1].endswith("/run")
    lines = _run(tmp_path / "run", checkpoint, place / "corpus", *quick, "--base", "none")
    assert [line.split()[1].rsplit("/", 1)[1] for line in lines[3:5]] == ["run", "step_00000002"]
    for named in ((), ("--base", str(place / "model"))):  # it is among the models, and comes first
        lines = _run(tmp_path / "run", place / "model", place / "corpus", *quick, *named)
        names = [line.split()[1].rsplit("/", 1)[1] for line in lines[3:5]]
        assert names == ["model", "run"] and not lines[5]
    lines = _run(tmp_path / "run", place / "corpus", *quick, "--base", "mini")
    assert lines[3].split()[:2] == ["a", "mini"] and lines[4].split()[0] == "b"


def test_a_base_that_is_gone_is_done_without(
    perfect: list[int], place: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "step_00000002"
    spec = Corpus.open(place / "corpus").info.codec
    save_pretrained(small_model(seed=1), ModelInfo(codec=spec), checkpoint)
    (tmp_path / "run" / "recipe.yaml").write_text("model: {base: gone}")
    arguments = [checkpoint, place / "corpus", "--split", "all", "--seeds", "1"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0
    assert "without the base gone: no model at gone" in result.stderr
    assert not any(line.startswith("b ") for line in result.stdout.splitlines())
    with pytest.raises(CheckpointError, match="no model at gone"):
        _run(checkpoint, place / "corpus", "--base", "gone")


def test_prompts_and_judges_by_the_command_line(
    perfect: list[int], place: Path, tmp_path: Path
) -> None:
    """A recogniser with random weights hears nonsense, and hears the ceiling too."""
    lines = _run(
        place / "model", place / "corpus", "--split", "all", "--seeds", "1", "--max-clips", "2",
        "--voice-prompt",
        "--asr-model", save_tiny_whisper(tmp_path / "whisper"),
        "--speaker-model", save_tiny_xvector(tmp_path / "xvector"),
        "--mos-model", save_scripted(tmp_path / "mos.pt"),
    )  # fmt: skip
    assert lines[1] == "2 of them also as the continuation of another clip of their speaker"
    for suffix in ("", ", with a voice prompt"):
        (head,) = (i for i, line in enumerate(lines) if line.startswith(f"what is heard{suffix} "))
        assert "WER" in lines[head] and "mean CER" in lines[head]
        assert "codec alone" in lines[head + 2] and "–" not in lines[head + 2]
        (head,) = (i for i, line in enumerate(lines) if line.startswith(f"as judged{suffix} "))
        assert "speaker similarity" in lines[head] and "predicted MOS" in lines[head]
    assert not any("not measured" in line for line in lines)
