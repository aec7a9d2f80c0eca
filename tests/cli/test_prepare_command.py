"""`dialoom prepare` says what it made and what it left out."""

import json
import signal
from pathlib import Path

import pytest
import typer
from fake_audio import FakeCodec, write_tone
from tiny_whisper import save_tiny_whisper
from typer.testing import CliRunner

from dialoom.audio import Waveform
from dialoom.cli.prepare import prepare_command
from dialoom.codec import Codes
from dialoom.data import Corpus
from dialoom.errors import DataError

app = typer.Typer()
app.command()(prepare_command)


@pytest.fixture(autouse=True)
def _fake_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialoom.data.preparation.load_codec", lambda name, device: FakeCodec())


@pytest.fixture
def tmp_whisper(tmp_path: Path) -> Path:
    return save_tiny_whisper(tmp_path / "whisper")


def _run(*arguments: str | Path) -> list[str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout.splitlines()


def test_summary(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    for i in range(20):
        write_tone(source / f"{i:02d}.wav", 0.5).with_suffix(".txt").write_text("text")
    for i in range(7):
        write_tone(source / f"bad-{i}.wav")
    lines = _run(source, out, "--language", "en", "--valid-fraction", "0.2", "--workers", "3")
    info = Corpus.open(out).info
    assert (info.num_clips, info.languages, info.valid_fraction) == (20, ("en",), 0.2)
    assert lines[0] == (
        f"{out}: 20 clips, 0.00 h ({info.num_train} train, {info.num_valid} valid), codec fake"
    )
    assert lines[1] == f"7 rejected, all listed in {out}/rejected.jsonl:"
    assert lines[2] == (
        "  bad-0.wav: has no transcript; put bad-0.txt, bad-0.lab or bad-0.json beside it, "
        "or let --asr-model transcribe it (extra asr)"
    )
    assert lines[7:] == ["  … and 2 more"]
    assert _run(source, out, "--language", "en", "--valid-fraction", "0.2")[1] == (
        "27 entries were there already and are kept"
    )


def test_says_when_nothing_is_left_to_validate_on(tmp_path: Path) -> None:
    write_tone(tmp_path / "source/a.wav").with_suffix(".txt").write_text("text")
    lines = _run(tmp_path / "source", tmp_path / "out", "--valid-fraction", "0")
    assert lines[1] == "no clip fell to the split valid; a larger --valid-fraction gives some"


def test_columns_are_mapped(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "t.jsonl").write_text('{"sound": "a.wav", "said": "hello"}\n')
    _run(tmp_path / "t.jsonl", tmp_path / "out", "--columns", "audio=sound,text=said")
    assert Corpus.open(tmp_path / "out")[0].text == "[S1] hello"
    with pytest.raises(DataError, match="columns 'words=said': write FIELD=COLUMN"):
        _run(tmp_path / "t.jsonl", tmp_path / "out", "--columns", "words=said")


def test_loudness_and_silence_may_be_left_alone(tmp_path: Path) -> None:
    write_tone(tmp_path / "source/a.wav").with_suffix(".txt").write_text("text")
    _run(tmp_path / "source", tmp_path / "out", "--loudness", "off", "--edge-silence", "off")
    info = Corpus.open(tmp_path / "out").info
    assert (info.loudness, info.edge_silence_s) == (None, None)
    with pytest.raises(DataError, match="prepared with loudness_lufs off, not -23, edge_silence_s"):
        _run(tmp_path / "source", tmp_path / "out", "--loudness", "-23")
    with pytest.raises(DataError, match="--loudness 'loud': must be a number or off"):
        _run(tmp_path / "source", tmp_path / "other", "--loudness", "loud")


def test_errors_reach_the_one_place_that_prints_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or directory"):
        _run(tmp_path / "gone", tmp_path / "out")


def test_says_which_tags_have_no_byte(tmp_path: Path) -> None:
    for i in range(7):
        audio = write_tone(tmp_path / f"source/{i}.wav")
        audio.with_suffix(".txt").write_text(f"[S{i + 1}] text")
    lines = _run(tmp_path / "source", tmp_path / "out", "--valid-fraction", "0.9")
    assert lines[1] == (
        "5 clips hold tags that no byte stands for, read letter by letter: "
        "[S3], [S4], [S5], [S6], [S7]; give them bytes by model.tags in the recipe"
    )


class _StoppedCodec(FakeCodec):
    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self._number = number

    def encode(self, waveform: Waveform) -> Codes:
        if self.num_encoded == 2:
            signal.raise_signal(self._number)
        return super().encode(waveform)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    for i in range(5):
        write_tone(tmp_path / f"source/{i}.wav").with_suffix(".txt").write_text("text")
    # on a GPU nothing is encoded ahead of what is written, so it is known what is kept
    arguments = [str(tmp_path / "source"), str(tmp_path / "out"), "--device", "cuda"]

    def too_late(number: int, frame: object) -> None:
        raise AssertionError("the command left the signal to the process")

    codec = _StoppedCodec(number)
    monkeypatch.setattr("dialoom.data.preparation.load_codec", lambda name, device: codec)
    before = signal.signal(signal.SIGTERM, too_late)
    # a shell that starts tests in the background has them ignore Ctrl-C
    before_ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = CliRunner().invoke(app, arguments)
        assert signal.getsignal(signal.SIGTERM) is too_late
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, before_ctrl_c)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].endswith("the same command goes on from there")
    assert "Traceback" not in result.output
    monkeypatch.setattr("dialoom.data.preparation.load_codec", lambda name, device: FakeCodec())
    assert "2 entries were there already and are kept" in _run(*arguments)


def _write_turns(folder: Path) -> Path:
    folder.mkdir()
    write_tone(folder / "talk.wav", 15.0)
    turns = ["talk.wav,Ann,0,5,Hello. (laughs)", "talk.wav,Bob,5.5,9,Hi. (waves)"]
    header = "conversation,who,from,until,text"
    (folder / "metadata.csv").write_text("\n".join([header, *turns]))
    return folder


def test_turns_become_dialogue(tmp_path: Path) -> None:
    source = _write_turns(tmp_path / "source")
    columns = "audio=conversation,speaker=who,start=from,end=until"
    lines = _run(source, tmp_path / "out", "--dialogue", "--columns", columns)
    assert Corpus.open(tmp_path / "out")[0].text == "[S1] Hello. (laughs) [S2] Hi. (waves)"
    assert lines[-1] == "1 non-verbal tags that Dia knows, 1 that it does not: (waves) 1×"
    with pytest.raises(DataError, match="pieces of 21 to 20 s"):
        _run(source, tmp_path / "out", "--dialogue", "--columns", columns, "--min-seconds", "21")
    with pytest.raises(DataError, match="need --dialogue or --split-long"):
        _run(source, tmp_path / "out", "--min-seconds", "3")


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
def test_recordings_are_cut_and_transcribed(tmp_path: Path, tmp_whisper: Path) -> None:
    """With the real detector, for which a tone is no speech, and a Whisper of random weights."""
    write_tone(tmp_path / "source/long.wav", 8.0)
    write_tone(tmp_path / "short/a.wav", 2.0)
    with pytest.raises(DataError, match=r"none of 1 entries .* long\.wav: nobody speaks in it"):
        _run(tmp_path / "source", tmp_path / "a", "--split-long", "--asr-model", tmp_whisper)
    with pytest.raises(DataError, match=r"add --asr-model .*pip install 'dialoom\[asr\]'"):
        _run(tmp_path / "source", tmp_path / "b", "--split-long")
    _run(tmp_path / "short", tmp_path / "c", "--asr-model", tmp_whisper)
    text = Corpus.open(tmp_path / "c")[0].text
    heard = json.loads((tmp_path / "c/transcripts.jsonl").read_text())
    assert text == "[S1] " + " ".join(heard["text"].split())
    assert heard["words"]


def test_a_source_is_not_written_into(tmp_path: Path) -> None:
    write_tone(tmp_path / "source" / "a.wav", 0.5).with_suffix(".txt").write_text("text")
    before = sorted((tmp_path / "source").iterdir())
    with pytest.raises(DataError, match="is the source itself; name another directory"):
        _run(tmp_path / "source", tmp_path / "other" / ".." / "source")
    assert sorted((tmp_path / "source").iterdir()) == before
