"""`dialoom speak`, `decode` and `voice` as a person types them."""

import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command_line import Command, Result
from fake_speech import fake_sentence
from helpers import small_model
from tiny_dac import save_tiny_dac

from dialoom.audio import write_audio
from dialoom.audio.transcribe import Transcript
from dialoom.audio.waveform import Waveform
from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.codec import load_codec
from dialoom.generate import load_voice

QUICK = ("--max-seconds", "0.15", "--cfg-scale", "0")


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model that names the bundled codec and never ends by itself."""
    path = tmp_path_factory.mktemp("models") / "model"
    model = small_model()
    with torch.no_grad():
        model.logits_dense.weight[1024] = 0
    save_pretrained(model, ModelInfo(codec=load_codec("mini").spec), path)
    return path


def assert_refused(result: Result, message: str) -> None:
    assert result.status == 2, result
    assert result.stderr.startswith("dialoom: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_codes_out_and_in(dialoom: Command, speaker: Path, tmp_path: Path) -> None:
    spoken = dialoom("speak", speaker, "Hi.", "-o", "a.wav", "--save-codes", "a.npy", *QUICK)
    assert spoken.status == 0, spoken.stderr
    for option in (("--codec", "mini"), ("--model", speaker)):
        decoded = dialoom("decode", "a.npy", "b.wav", *option)
        assert decoded.status == 0, decoded.stderr
        first, second = soundfile.read("a.wav")[0], soundfile.read("b.wav")[0]
        np.testing.assert_array_equal(first, second)
    prompted = dialoom(
        "speak", speaker, "Hi.", "-o", "c.wav", "--prompt", "a.npy", "--prompt-text", "[S1] Hi.",
        *QUICK,
    )  # fmt: skip
    assert prompted.status == 0, prompted.stderr
    assert not np.array_equal(soundfile.read("c.wav")[0], first)


def test_decode_refuses(dialoom: Command, tmp_path: Path) -> None:
    np.save("good.npy", np.zeros((3, 9), np.int64))
    np.save("float.npy", np.zeros((3, 9)))
    np.save("flat.npy", np.zeros(9, np.int64))
    np.save("negative.npy", np.full((3, 9), -1))
    np.save("channels.npy", np.zeros((3, 4), np.int64))
    np.save("large.npy", np.full((3, 9), 1024))
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no codes")
    (tmp_path / "voice.safetensors").write_text("no voice")
    (tmp_path / "empty.npy").touch()
    cases = [
        (["nowhere.npy"], "no such file"),
        (["float.npy"], "codes are whole numbers"),
        (["flat.npy"], "codes are whole numbers"),
        (["negative.npy"], "ids from -1 to -1"),
        (["channels.npy"], "4 codebooks"),
        (["large.npy"], "id 1024"),
        (["objects.npy"], "no .npy, or damaged"),
        (["text.npy"], "no .npy, or damaged"),
        (["empty.npy"], "no .npy, or damaged"),
        (["voice.safetensors"], "is no voice"),
        (["good.npy", "--model", "nowhere"], "leave one out"),
    ]
    for (name, *options), message in cases:
        assert_refused(dialoom("decode", name, "x.wav", "--codec", "mini", *options), message)
    assert_refused(dialoom("decode", "good.npy", "x.wav"), "does not say which codec")
    assert_refused(dialoom("decode", "good.npy", "x.xyz", "--codec", "mini"), "cannot write audio")


def test_a_voice_is_kept_and_used_by_name(dialoom: Command, speaker: Path, tmp_path: Path) -> None:
    write_audio("clip.wav", fake_sentence(1, num_sounds=3))
    assert "no voices in" in dialoom("voice", "list").stdout
    saved = dialoom(
        "voice", "save", speaker, "anna", "clip.wav", "--text", "[S2] I am Anna.",
        "--language", "en", "--cfg-scale", "0", "--temperature", "0",
    )  # fmt: skip
    assert saved.status == 0, saved.stderr
    assert (tmp_path / "voices" / "anna.safetensors").is_file()
    assert "[S2] I am Anna." in dialoom("voice", "list").stdout

    by_clip = ("--prompt", "clip.wav", "--prompt-text", "[S2] I am Anna.", "--language", "en",
               "--temperature", "0", *QUICK)  # fmt: skip
    by_name = ("--voice", "anna", "--max-seconds", "0.15")
    for name, options in (("a.npy", by_clip), ("b.npy", by_name)):
        result = dialoom("speak", speaker, "Hello.", "--save-codes", name, *options)
        assert result.status == 0, result.stderr
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))
    assert dialoom("decode", "voices/anna.safetensors", "v.wav").status == 0
    dac = save_tiny_dac(tmp_path / "dac")
    refused = dialoom("decode", "voices/anna.safetensors", "v.wav", "--codec", dac)
    assert refused.status == 2
    assert "has other weights than the 'mini'" in refused.stderr


def test_a_voice_keeps_the_models_settings_beside_those_that_are_given(
    dialoom: Command, tmp_path: Path
) -> None:
    info = ModelInfo(codec=load_codec("mini").spec, sampling={"temperature": 0.5, "top_k": 20})
    save_pretrained(small_model(), info, tmp_path / "model")
    write_audio("clip.wav", fake_sentence(1, num_sounds=3))
    saved = dialoom(
        "voice", "save", "model", "anna", "clip.wav", "--text", "Hi.", "--temperature", "0.7"
    )
    assert saved.status == 0, saved.stderr
    settings = load_voice("anna").settings
    assert settings is not None
    assert (settings.temperature, settings.top_k) == (0.7, 20)


def test_a_long_text_is_spoken_in_parts_with_subtitles(
    dialoom: Command, speaker: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.txt").write_text(
        "[S1] This is the first part of it.\n[S2] And this is the second.", encoding="utf-8"
    )
    result = dialoom(
        "speak", speaker, "--text-file", "script.txt", "-o", "a.wav", "--save-codes", "a.npy",
        "--subtitles", "a.srt", "--part-seconds", "0.5", "2.2", "--max-seconds", "0.3",
        "--cfg-scale", "0", "--temperature", "0", "--end-tag",
    )  # fmt: skip
    assert result.status == 0, result.stderr
    assert "a.wav: 0.60 s, 2 parts" in result.stdout
    assert soundfile.info("a.wav").frames == 512 * len(np.load("a.npy")) == 512 * 52
    subtitles = (tmp_path / "a.srt").read_text(encoding="utf-8")
    assert "S1: This is the first part of it." in subtitles
    assert subtitles.endswith("\nS2: And this is the second.\n")
    assert subtitles.count(" --> ") == 2
    warnings = [line for line in result.stderr.splitlines() if "is too fast" in line]
    assert len(warnings) == 2, result.stderr
    assert "'[S2] And this is the second.'" in warnings[1], "the end tag is not shown"
    assert "(seed 1; --retries draws again)" in warnings[1]


def test_a_batch_goes_on_after_bad_lines(dialoom: Command, speaker: Path, tmp_path: Path) -> None:
    write_audio("clip.wav", fake_sentence(1, num_sounds=3))
    dialoom("voice", "save", speaker, "anna", "clip.wav", "--text", "[S1] I am Anna.")
    lines = [
        {"text": "One.", "out": "1.wav", "seed": 3},
        {"text": "One.", "out": "2.wav", "seed": 4, "save_codes": "2.npy"},
        {"text": "One.", "out": "3.wav"},
        {"text": "One.", "out": "4.wav", "seed": 3, "voice": "anna"},
        {"text": "One.", "out": "no/such/5.wav"},
        {"text": " ", "out": "6.wav"},
        {"text": "One.", "out": "7.wav", "colour": 1},
        {"text": "One."},
        {"text": "[S7] One.", "out": "9.wav"},
        {"text": "One.", "out": "10.wav", "seed": "3"},
        {"text": "One.", "out": "11.wav", "top_p": 2.0},
        {"text": "One.", "out": "12.wav", "voice": "berta"},
        {"text": "One.", "out": "13.wav", "save_codes": "no/such.npy"},
        "no object",
        {"text": "Last.", "out": "15.wav"},
    ]
    content = "\n\n".join(map(json.dumps, lines)) + "\n{\n"
    (tmp_path / "b.jsonl").write_text(content, encoding="utf-8")
    result = dialoom("speak", speaker, "--batch", "b.jsonl", "--seed", "3", *QUICK)
    assert result.status == 2
    for number, message in [
        (9, "there is no directory no/such"),
        (11, "the text is empty"),
        (13, "colour is unknown: take text, out"),
        (15, "out: Field required"),
        (17, "no speaker [S7], it has [S1], [S2]"),
        (19, "seed: Input should be a valid integer"),
        (21, "top-p is 2.0"),
        (23, "there is no voice"),
        (25, "No such file or directory"),
        (27, "Input should be"),
        (30, "no valid JSON"),
    ]:
        line = [x for x in result.stderr.splitlines() if x.startswith(f"b.jsonl line {number}: ")]
        assert len(line) == 1, (number, result.stderr)
        assert message in line[0]
    assert "11 of 16 lines of b.jsonl were not spoken" in result.stderr.splitlines()[-1]
    alone = dialoom("speak", speaker, "One.", "-o", "alone.wav", "--seed", "4", *QUICK)
    assert alone.status == 0
    np.testing.assert_array_equal(soundfile.read("alone.wav")[0], soundfile.read("2.wav")[0])
    first, second, third, fourth = (soundfile.read(f"{i}.wav")[0] for i in range(1, 5))
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, fourth)
    assert soundfile.info("15.wav").frames > 0
    assert np.load("2.npy").shape[1] == 9


def test_retries_are_told(dialoom: Command, speaker: Path) -> None:
    result = dialoom("speak", speaker, "x" * 60, "-o", "a.wav", "--retries", "1", *QUICK)
    assert result.status == 0, result.stderr
    assert "is too fast (seed 0, the best of 2)" in result.stderr


def test_speak_refuses_what_excludes_each_other(
    dialoom: Command, speaker: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.jsonl").touch()
    (tmp_path / "windows.txt").write_bytes("für".encode("cp1252"))
    cases = [
        (["-o", "a.wav"], "give TEXT, or --text-file, or --batch"),
        (["Hi.", "--batch", "b.jsonl"], "only one of these"),
        (["--batch", "b.jsonl", "-o", "a.wav"], "its lines say where to write"),
        (["--batch", "b.jsonl"], "is empty"),
        (["--batch", "nowhere.jsonl"], "cannot be read"),
        (["--text-file", "nowhere.txt", "-o", "a.wav"], "cannot be read"),
        (["--text-file", "windows.txt", "-o", "a.wav"], "not UTF-8 (byte 1); save it as UTF-8"),
        (["Hi.", "-o", "-", "--save-codes", "a.npy"], "leave --subtitles and --save-codes out"),
        (["Hi.", "-o", "a.wav", "--voice", "a", "--prompt", "b.wav"], "leave one out"),
        (["Hi.", "-o", "a.wav", "--voice", "berta"], "there is no voice"),
        (["Hi.", "-o", "a.wav", "--speaker", "S5"], "no speaker [S5]"),
        (["Hi.", "-o", "a.wav", "--retries", "-1"], "retries is -1"),
        (["Hi.", "-o", "a.wav", "--precision", "int3"], "int3"),
        (["Hi.", "-o", "a.wav", "--part-seconds", "5", "2"], "parts of 5 to 2 s"),
        (["Hi.", "-o", "a.wav", "--context-seconds", "2"], "more than the 16 s"),
        (["Hi.", "-o", "a.wav", "--subtitles", "a.txt"], "written as .srt or .vtt"),
    ]
    for arguments, message in cases:
        assert_refused(dialoom("speak", speaker, *arguments), message)
    write_audio("clip.wav", fake_sentence(1, num_sounds=3))
    refused = dialoom("speak", speaker, "Hi.", "-o", "a.wav", "--prompt", "clip.wav")
    assert_refused(refused, "voice save: --text), or let --asr-model")


@dataclass
class Listener:
    """Hears what it is told to, in place of a Whisper."""

    source: str

    def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list[Transcript]:
        assert [waveform.sample_rate_hz for waveform in waveforms] == [16_000]
        assert language == "de"
        return [Transcript(self.source, 0.9)]


def test_a_clip_without_transcript_is_transcribed(
    dialoom: Command, speaker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialoom.audio.transcribe.WhisperTranscriber", Listener)
    write_audio("clip.wav", fake_sentence(1, num_sounds=3))
    common = ("speak", speaker, "Hi.", "--prompt", "clip.wav", *QUICK)

    heard = dialoom(*common, "--asr-model", "Ich bin Anna.", "--language", "de",
                    "--save-codes", "a.npy")  # fmt: skip
    assert heard.status == 0, heard.stderr
    assert "clip.wav: 'Ich bin Anna.'" in heard.stderr
    assert dialoom(*common, "--prompt-text", "Ich bin Anna.", "--language", "de",
                   "--save-codes", "b.npy").status == 0  # fmt: skip
    assert np.array_equal(np.load("a.npy"), np.load("b.npy"))

    saved = dialoom("voice", "save", speaker, "anna", "clip.wav", "--asr-model", "Ich bin Anna.",
                    "--language", "de")  # fmt: skip
    assert saved.status == 0, saved.stderr
    assert dialoom("speak", speaker, "Hi.", "--voice", "anna", "--save-codes", "c.npy",
                   *QUICK).status == 0  # fmt: skip
    assert np.array_equal(np.load("a.npy"), np.load("c.npy"))
    for clip in ("clip.wav", "a.npy"):
        refused = dialoom("voice", "save", speaker, "berta", clip)
        assert_refused(refused, "needs its transcript")

    refused = dialoom(*common, "--asr-model", "", "--language", "de", "-o", "a.wav")
    assert_refused(refused, "hears no words in it")
    refused = dialoom(*common, "--asr-model", "x", "--prompt-text", "Ja.", "-o", "a.wav")
    assert_refused(refused, "without --prompt-text")
    write_audio("long.wav", Waveform(np.resize(np.float32([0.1, -0.1]), 31 * 8000), 8000))
    refused = dialoom("speak", speaker, "Hi.", "--prompt", "long.wav", "--asr-model", "x",
                      "-o", "a.wav")  # fmt: skip
    assert_refused(refused, "lasts 31.0 s, --asr-model hears 30 s")


class _BrokenPipe:
    """Standard output whose reader is gone."""

    @property
    def buffer(self) -> "_BrokenPipe":
        return self

    def isatty(self) -> bool:
        return False

    def write(self, _: bytes) -> int:
        raise BrokenPipeError


def _streamed(dialoom: Command, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> bytes:
    """What `dialoom speak … -o -` writes to standard output."""
    pipe = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", io.TextIOWrapper(pipe, write_through=True))
        result = dialoom("speak", *arguments, "-o", "-", *QUICK)  # type: ignore[arg-type]
        assert result.status == 0, result.stderr
        assert re.fullmatch(r"(speak \d.*\n)*speak: \d\.\d\d s\n", result.stderr), result.stderr
        return pipe.getvalue()


@pytest.mark.parametrize(
    "options", [(), ("--retries", "1"), ("--part-seconds", "0.5", "2.2")], ids=str
)
def test_speech_on_standard_output_is_that_of_a_file(
    dialoom: Command, speaker: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    text = "[S1] This is the first part of it. [S2] And this is the second."
    wav = _streamed(dialoom, monkeypatch, speaker, text, *options)
    assert wav[:4] == b"RIFF"
    assert wav[36:44] == b"data" + b"\xff" * 4, "a stream does not know its length"
    assert dialoom("speak", speaker, text, "-o", "a.wav", *options, *QUICK).status == 0
    expected, rate_hz = soundfile.read("a.wav", dtype="int16")
    assert int.from_bytes(wav[24:28], "little") == rate_hz
    heard = np.frombuffer(wav[44:], "<i2")
    assert heard.shape == expected.shape
    assert np.abs(heard.astype(int) - expected).max() <= 33  # -60 dB of full scale


def test_a_player_that_ends_early_is_one_line(
    dialoom: Command, speaker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", _BrokenPipe())
        result = dialoom("speak", speaker, "Hi.", "-o", "-", *QUICK)
    assert_refused(result, "the player behind the pipe ended before the speech")


def test_a_terminal_gets_no_sound(
    dialoom: Command, speaker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys.stdout, "isatty", lambda: True)
        result = dialoom("speak", speaker, "Hi.", "-o", "-")
    assert_refused(result, "put a player behind it")


def test_a_byte_order_mark_is_not_spoken(dialoom: Command, speaker: Path, tmp_path: Path) -> None:
    for name, encoding in (("plain", "utf-8"), ("marked", "utf-8-sig")):
        (tmp_path / f"{name}.txt").write_text("[S1] Hi.", encoding=encoding)
        line = json.dumps({"text": "[S1] Hi.", "out": f"{name}-line.wav"})
        (tmp_path / f"{name}.jsonl").write_text(line, encoding=encoding)
        options = ("--save-codes", f"{name}.npy", *QUICK)
        assert dialoom("speak", speaker, "--text-file", f"{name}.txt", *options).status == 0
        assert dialoom("speak", speaker, "--batch", f"{name}.jsonl", *QUICK).status == 0
    np.testing.assert_array_equal(np.load("plain.npy"), np.load("marked.npy"))


def test_help_names_the_defaults(dialoom: Command) -> None:
    shown = " ".join(dialoom("speak", "--help").stdout.replace("│", " ").split())
    for default in ("or 1.3", "or 0.95", "or 45", "or 3.0"):
        assert default in shown


def test_a_tag_that_the_model_lacks_is_told(dialoom: Command, speaker: Path) -> None:
    for text, options in (("[Anna] Hi. [Anna] Ho.", ()), ("Hi.", ("--speaker", "Anna"))):
        result = dialoom("speak", speaker, text, "-o", "a.wav", *options, *QUICK)
        assert result.status == 0, result.stderr
        assert "has no tag [Anna] and reads its letters; it has [S1], [S2]," in result.stderr
    assert "no tag" not in dialoom("speak", speaker, "[S1] Hi.", "-o", "a.wav", *QUICK).stderr


def test_a_voice_that_fills_the_model_is_not_kept(
    dialoom: Command, speaker: Path, tmp_path: Path
) -> None:
    np.save("long.npy", np.zeros((4000, 9), np.int64))
    kept = dialoom("voice", "save", speaker, "ann", "long.npy", "--text", "[S1] Hi.")
    assert_refused(kept, "the voice prompt has 4000 frames, the model has room for")
    assert not (tmp_path / "voices").exists()
