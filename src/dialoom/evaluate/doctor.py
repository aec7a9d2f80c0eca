"""`dialoom doctor`: what is wrong with recordings and transcripts, before a GPU is paid for.

A corpus or a source becomes rows (doctor_subject.py); checks name symptoms (doctor_text.py,
doctor_sound.py); the table of rules makes findings of them (doctor_rules.py, doctor_findings.py).
All texts and lengths are looked at; sound is measured for a sample of the clips.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from dialoom.audio import Waveform
from dialoom.codec import Codes
from dialoom.data import Clip, collate
from dialoom.errors import AudioError, CodecError, DataError, TextError
from dialoom.evaluate.doctor_findings import Basis, Finding, Severity, Symptom, conclude
from dialoom.evaluate.doctor_rules import RULES
from dialoom.evaluate.doctor_sound import (
    SoundMeasures,
    check_sounds,
    find_duplicates,
    measure_sound,
)
from dialoom.evaluate.doctor_subject import Subject, layout_of
from dialoom.evaluate.doctor_text import bytes_per_letter, check_texts, num_bytes, spoken
from dialoom.evaluate.players import spread
from dialoom.sequence import IGNORE_INDEX, undelay_codes

ProgressCallback = Callable[[int, int, int], None]
"""Told after every clip that was heard: clips done, clips in all, clips that cannot be heard."""


@dataclass(frozen=True)
class Group:
    """The clips of one language or speaker.

    Attributes:
        kind: "language" or "speaker".
        name: of it; "–" where none is named.
        num_clips: how many.
        hours: of them together.
        bytes_per_letter: of their transcripts.
        median_bytes: of a transcript, tags included.
        max_bytes: of the longest.
    """

    kind: str
    name: str
    num_clips: int
    hours: float
    bytes_per_letter: float
    median_bytes: int
    max_bytes: int


@dataclass(frozen=True)
class Target:
    """A clip as the loss asks for it: collated, undone, decoded."""

    clip_id: str
    text: str
    sound: Waveform


@dataclass(frozen=True)
class Diagnosis:
    """All that was found.

    Attributes:
        name: of the corpus or source.
        kind: "corpus" or "source".
        num_clips: in it.
        hours: of them.
        findings: one for each rule that was looked at.
        groups: languages, then speakers.
        sounds: measures of the clips whose sound was examined, by id; None for silent ones.
        targets: what a model would be asked to say.
    """

    name: str
    kind: str
    num_clips: int
    hours: float
    findings: tuple[Finding, ...]
    groups: tuple[Group, ...]
    sounds: dict[str, SoundMeasures | None]
    targets: tuple[Target, ...]

    def of(self, severity: Severity) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]

    def to_json(self) -> dict[str, Any]:
        """All but the sound of the targets."""
        return {
            "name": self.name,
            "kind": self.kind,
            "num_clips": self.num_clips,
            "hours": round(self.hours, 4),
            "num_heard": len(self.sounds),
            "counts": {name: len(self.of(name)) for name in ("bad", "note", "good")},
            "findings": [asdict(finding) for finding in self.findings],
            "groups": [asdict(group) for group in self.groups],
            "sounds": {
                clip_id: None if found is None else asdict(found)
                for clip_id, found in self.sounds.items()
            },
            "targets": [target.clip_id for target in self.targets],
        }


def diagnose(
    subject: Subject,
    *,
    max_clips: int = 100,
    num_targets: int = 6,
    progress: ProgressCallback | None = None,
) -> Diagnosis:
    """Examines a corpus or a source.

    Args:
        subject: as `open_subject` gives it.
        max_clips: of so many clips, spread evenly, the sound is measured.
        num_targets: of so many the training targets are decoded.
        progress: hears how far it is.

    Raises:
        DataError: a number is negative, or the corpus is damaged.
    """
    for name, value in (("max_clips", max_clips), ("num_targets", num_targets)):
        if value < 0:
            raise DataError(f"{name} {value}: must be at least 0")
    symptoms = [*check_texts(subject), *find_duplicates(subject)]
    sounds, unheard = _hear(subject, max_clips, progress)
    symptoms += [*unheard, *check_sounds(sounds)]
    targets, faults = _make_targets(subject, num_targets)
    symptoms += faults
    examined: dict[Basis, bool] = {"text": True, "sound": bool(sounds), "targets": bool(targets)}
    bases = [basis for basis, is_examined in examined.items() if is_examined]
    utterances = subject.utterances
    return Diagnosis(
        name=subject.name,
        kind=subject.kind,
        num_clips=len(utterances),
        hours=sum(u.duration_s or 0.0 for u in utterances) / 3600,
        findings=conclude(_once(symptoms), bases, RULES),
        groups=(*_groups(subject, "language"), *_groups(subject, "speaker")),
        sounds=sounds,
        targets=tuple(targets),
    )


def undo_targets(clip: Clip, subject: Subject) -> Codes:
    """The frames that the loss asks for: what `collate` makes of a clip, without its delay.

    Raises:
        DataError: the clip does not fit the model.
        TextError: its text does not.
    """
    layout = layout_of(subject.codec_spec)
    rate = subject.codec_spec.frames_per_second
    batch = collate(
        [clip],
        layout=layout,
        tags=subject.limits.tags,
        frames_per_second=rate,
        max_steps=subject.limits.max_steps,
    )
    targets_TC = batch.targets_BTC[0]
    targets_TC = targets_TC.masked_fill(targets_TC == IGNORE_INDEX, layout.pad_id)
    first_1C = torch.full_like(targets_TC[:1], layout.bos_id)  # step 0 is an input and no target
    frames_FC = undelay_codes(torch.cat([first_1C, targets_TC]), layout)
    return Codes(frames_FC.numpy().astype("uint16"))


def _hear(
    subject: Subject, max_clips: int, progress: ProgressCallback | None
) -> tuple[dict[str, SoundMeasures | None], list[Symptom]]:
    """Measures a sample of the clips; where the codec is not to be had, says so and stops."""
    measured: dict[str, SoundMeasures | None] = {}
    symptoms: list[Symptom] = []
    utterances = subject.utterances
    readable = [i for i, utterance in enumerate(utterances) if utterance.duration_s is not None]
    chosen = [readable[i] for i in _spread(len(readable), max_clips)]
    for done, index in enumerate(chosen, start=1):
        clip_id = utterances[index].id
        try:
            measured[clip_id] = measure_sound(subject.sound(index))
        except AudioError as error:
            code = "silent" if " is silent" in str(error) else "unreadable-audio"
            symptoms.append(Symptom(code, clip_id, str(getattr(error, "reason", error))))
        except CodecError as error:
            symptoms.append(Symptom("not-heard", "", str(error)))
            break
        if progress is not None:
            progress(done, len(chosen), len(symptoms))
    return measured, symptoms


def _make_targets(subject: Subject, num_targets: int) -> tuple[list[Target], list[Symptom]]:
    """Clips that do not fit are left out: their findings say so already."""
    targets: list[Target] = []
    symptoms: list[Symptom] = []
    for index in _spread(len(subject.utterances), num_targets):
        try:
            clip = subject.clip(index)
            codes = undo_targets(clip, subject)
            sound = subject.codec().decode(codes)
        except (AudioError, DataError, TextError):
            continue
        except CodecError as error:
            return targets, [*symptoms, Symptom("not-heard", "", str(error))]
        if codes.frames.tobytes() != clip.codes.frames.tobytes():
            detail = f"{codes.num_frames} frames of {clip.codes.num_frames}"
            symptoms.append(Symptom("targets-differ", clip.id, detail))
        targets.append(Target(clip.id, clip.text, sound))
    return targets, symptoms


def _spread(count: int, most: int) -> list[int]:
    """As `spread`, which needs two places for a first and a last."""
    return list(range(min(count, most))) if most < 2 else spread(count, most)


def _once(symptoms: Sequence[Symptom]) -> Iterator[Symptom]:
    """Without what was said twice of one clip."""
    return iter(dict.fromkeys(symptoms))


def _groups(subject: Subject, kind: str) -> Iterator[Group]:
    """The clips by language or by speaker, the largest group first; none if all name none."""
    utterances = subject.utterances
    names = [getattr(u, kind) or "–" for u in utterances]
    if kind == "speaker" and set(names) <= {"–"}:
        return
    for name in sorted(set(names), key=lambda name: (-names.count(name), name)):
        members = [u for u, found in zip(utterances, names, strict=True) if found == name]
        sizes = [num_bytes(u, subject.limits.tags) for u in members]
        yield Group(
            kind=kind,
            name=name,
            num_clips=len(members),
            hours=sum(u.duration_s or 0.0 for u in members) / 3600,
            bytes_per_letter=round(bytes_per_letter([spoken(u.text) for u in members]), 2),
            median_bytes=round(statistics.median(sizes)),
            max_bytes=max(sizes),
        )
