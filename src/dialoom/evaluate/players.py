"""The listening matrix: sentence by checkpoint, the base first, the recording last.

Sounds and spectrograms are inside the page, and each clip is measured against its recording.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from dialoom.audio import Waveform, read_audio
from dialoom.errors import AudioError
from dialoom.evaluate.speech import References, Utterance
from dialoom.evaluate.standing import Heard
from dialoom.observe import SampleRecord
from dialoom.observe.plots import spectrogram_png

MAX_STEPS_SHOWN = 5
"""Of more checkpoints the page shows the first, the last and some between."""

FAR_FROM_LENGTH = 2.0
"""Speech so many times as long as its recording, or as short, is marked."""

MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True)
class Player:
    """One recording.

    Attributes:
        title: "Step 200", "Recording".
        note: length, and how it compares.
        warning: what is wrong with it, such as running on; empty where nothing is.
        audio_uri: the sound as a data URI; empty if there is none to play.
        picture_uri: the spectrogram as a data URI; empty likewise.
        width_percent: length as a share of the longest of its row, so that pictures compare.
        problem: why there is nothing to play.
    """

    title: str
    note: str = ""
    warning: str = ""
    audio_uri: str = ""
    picture_uri: str = ""
    width_percent: float = 100.0
    problem: str = ""


@dataclass(frozen=True)
class SampleRow:
    """One sentence, and a player for each column; the last may be missing."""

    text: str
    players: tuple[Player, ...]


@dataclass(frozen=True)
class CheckpointLine:
    """All sentences at one step, as text."""

    title: str
    stopped: str
    length_ratio: str
    distortion: str


@dataclass(frozen=True)
class ListeningMatrix:
    """What the page shows.

    Attributes:
        rows: a sentence each, in the order of first appearance.
        num_columns: of the longest row.
        checkpoints: a line for each step that is shown.
        heard: every clip that is shown, measured.
    """

    rows: tuple[SampleRow, ...]
    num_columns: int
    checkpoints: tuple[CheckpointLine, ...]
    heard: tuple[Heard, ...]


def listening_matrix(run_dir: Path, samples: Sequence[SampleRecord]) -> ListeningMatrix:
    """Reads, measures and draws the samples of a run; files that are missing are told."""
    all_steps = sorted({sample.step for sample in samples})
    steps = [all_steps[i] for i in spread(len(all_steps), MAX_STEPS_SHOWN)]
    names = dict.fromkeys(sample.name for sample in samples)
    recordings = _recordings(run_dir, samples)
    references = References(list(recordings.values()))
    places = {name: place for place, name in enumerate(recordings)}
    rows: list[SampleRow] = []
    heard: list[Heard] = []
    for name in names:
        spoken = {sample.step: sample for sample in samples if sample.name == name}
        sounds = {step: _read(run_dir, spoken[step].audio_path) for step in steps if step in spoken}
        found = {
            step: _measure(sound, spoken[step], references, places.get(name))
            for step, sound in sounds.items()
            if isinstance(sound, Waveform)
        }
        heard += found.values()
        last = list(spoken.values())[-1]
        rows.append(_row(last, steps, sounds, found, _reference_of(run_dir, last)))
    return ListeningMatrix(
        rows=tuple(rows),
        num_columns=max((len(row.players) for row in rows), default=0),
        checkpoints=tuple(
            _line(step, [one for one in heard if one.step == step]) for step in steps
        ),
        heard=tuple(heard),
    )


def spread(count: int, most: int) -> list[int]:
    """At most so many indices below `count`, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def step_title(step: int) -> str:
    return f"Step {step:,}" if step else "Before training"


def _recordings(run_dir: Path, samples: Sequence[SampleRecord]) -> dict[str, Waveform]:
    """By the names of the sentences that have one which can be read."""
    paths = {s.name: s.reference_path for s in samples if s.reference_path is not None}
    read = {name: _read(run_dir, path) for name, path in paths.items()}
    return {name: sound for name, sound in read.items() if isinstance(sound, Waveform)}


def _reference_of(run_dir: Path, sample: SampleRecord) -> Waveform | str | None:
    return None if sample.reference_path is None else _read(run_dir, sample.reference_path)


def _measure(
    sound: Waveform, sample: SampleRecord, references: References, place: int | None
) -> Heard:
    if place is None:
        return Heard(sample.step, sample.name, sound.duration_s, sample.stopped)
    found = references.measure(place, Utterance(sound, sample.stopped))
    return Heard(
        sample.step,
        sample.name,
        sound.duration_s,
        sample.stopped,
        length_ratio=None if found.empty else found.length_ratio,
        distortion_db=None if found.empty else found.distortion_db,
    )


def _row(
    last: SampleRecord,
    steps: Sequence[int],
    sounds: dict[int, Waveform | str],
    found: dict[int, Heard],
    reference: Waveform | str | None,
) -> SampleRow:
    heard_all = [*sounds.values(), *([] if reference is None else [reference])]
    longest_s = max((w.duration_s for w in heard_all if isinstance(w, Waveform)), default=1.0)
    players = [
        _player(step_title(step), sounds.get(step), found.get(step), longest_s) for step in steps
    ]
    if reference is not None:
        players.append(make_player("Recording", "as its codes sound", reference, longest_s))
    return SampleRow(last.text, tuple(players))


def _player(
    title: str, sound: Waveform | str | None, heard: Heard | None, longest_s: float
) -> Player:
    if sound is None or heard is None:
        return Player(title, problem=sound if isinstance(sound, str) else "nothing was said")
    facts = []
    if heard.length_ratio is not None:
        facts.append(f"{heard.length_ratio:.2f} × as long")
    if heard.distortion_db is not None:
        facts.append(f"{heard.distortion_db:.1f} dB off")
    return make_player(title, ", ".join(facts), sound, longest_s, warning=_warning(heard))


def _warning(heard: Heard) -> str:
    if not heard.stopped:
        return "ran on to the limit"
    if heard.length_ratio is None or 1 / FAR_FROM_LENGTH <= heard.length_ratio <= FAR_FROM_LENGTH:
        return ""
    return "far too short" if heard.length_ratio < 1 else "far too long"


def _line(step: int, heard: Sequence[Heard]) -> CheckpointLine:
    ratios = [one.length_ratio for one in heard if one.length_ratio is not None]
    distortions = [one.distortion_db for one in heard if one.distortion_db is not None]
    return CheckpointLine(
        title=step_title(step),
        stopped=f"{sum(one.stopped for one in heard)} of {len(heard)}",
        length_ratio=f"{median(ratios):.2f}" if ratios else "–",
        distortion=f"{median(distortions):.1f} dB" if distortions else "–",
    )


def _read(run_dir: Path, path: str) -> Waveform | str:
    """The sound, or why there is none: the page says so, and the rest of the report stands."""
    try:
        return read_audio(run_dir / path)
    except AudioError as error:
        return str(error).removeprefix(f"{run_dir}/")


def make_player(
    title: str, note: str, sound: Waveform | str, longest_s: float, *, warning: str = ""
) -> Player:
    """A player, or the reason why there is no sound to play."""
    if isinstance(sound, str):
        return Player(title, note, problem=sound)
    picture = spectrogram_png(sound.samples, sample_rate_hz=sound.sample_rate_hz)
    return Player(
        title,
        f"{sound.duration_s:.1f} s" + (f", {note}" if note else ""),
        warning,
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
