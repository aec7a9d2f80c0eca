"""Samples as the report shows them: sound and spectrogram inside the page, the reference first."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from dialoom.audio import Waveform, read_audio
from dialoom.errors import AudioError
from dialoom.observe import SampleRecord
from dialoom.observe.plots import spectrogram_png

MAX_STEPS_SHOWN = 6
"""Of more samples of one sentence the page shows the first, the last and some between."""

MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True)
class Player:
    """One recording.

    Attributes:
        title: "Step 200", "Recording".
        note: length, and how it ended.
        audio_uri: the sound as a data URI; empty if there is none to play.
        picture_uri: the spectrogram as a data URI; empty likewise.
        width_percent: length as a share of the longest of its row, so that pictures compare.
        problem: why there is nothing to play.
    """

    title: str
    note: str
    audio_uri: str = ""
    picture_uri: str = ""
    width_percent: float = 100.0
    problem: str = ""


@dataclass(frozen=True)
class SampleRow:
    """One sentence, and all that was recorded of it."""

    text: str
    players: tuple[Player, ...]


def sample_rows(run_dir: Path, samples: Sequence[SampleRecord]) -> tuple[SampleRow, ...]:
    """A row for each sentence, in the order of first appearance."""
    names = dict.fromkeys(sample.name for sample in samples)
    return tuple(
        _row(run_dir, [sample for sample in samples if sample.name == name]) for name in names
    )


def spread(count: int, most: int) -> list[int]:
    """At most so many indices below `count`, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _row(run_dir: Path, samples: Sequence[SampleRecord]) -> SampleRow:
    last = samples[-1]
    shown = [samples[i] for i in spread(len(samples), MAX_STEPS_SHOWN)]
    titles = [(f"Step {s.step:,}", s.audio_path, _ending(s)) for s in shown]
    if last.reference_path is not None:
        titles.insert(0, ("Recording", last.reference_path, "what it should sound like"))
    read = [_read(run_dir, path) for _, path, _ in titles]
    longest_s = max((w.duration_s for w in read if isinstance(w, Waveform)), default=1.0)
    players = [
        make_player(title, note, sound, longest_s)
        for (title, _, note), sound in zip(titles, read, strict=True)
    ]
    return SampleRow(last.text, tuple(players))


def _ending(sample: SampleRecord) -> str:
    return "stopped by itself" if sample.stopped else "did not stop by itself"


def _read(run_dir: Path, path: str) -> Waveform | str:
    """The sound, or why there is none: the page says so, and the rest of the report stands."""
    try:
        return read_audio(run_dir / path)
    except AudioError as error:
        return str(error).removeprefix(f"{run_dir}/")


def make_player(title: str, note: str, sound: Waveform | str, longest_s: float) -> Player:
    if isinstance(sound, str):
        return Player(title, note, problem=sound)
    picture = spectrogram_png(sound.samples, sample_rate_hz=sound.sample_rate_hz)
    return Player(
        title,
        f"{sound.duration_s:.1f} s, {note}",
        audio_uri=_audio_uri(sound),
        picture_uri=_data_uri("image/png", picture),
        width_percent=round(100 * sound.duration_s / longest_s, 1),
    )


def _audio_uri(waveform: Waveform) -> str:
    """MP3, which every browser plays; WAV at rates that MP3 does not have."""
    samples = np.clip(waveform.samples, -1.0, 1.0)
    buffer = io.BytesIO()
    if soundfile.check_format("MP3") and waveform.sample_rate_hz in MP3_RATES_HZ:
        soundfile.write(buffer, samples, waveform.sample_rate_hz, format="MP3")
        return _data_uri("audio/mpeg", buffer.getvalue())
    soundfile.write(buffer, samples, waveform.sample_rate_hz, format="WAV", subtype="PCM_16")
    return _data_uri("audio/wav", buffer.getvalue())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
