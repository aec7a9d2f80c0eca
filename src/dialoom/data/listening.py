"""Recordings without transcripts → clips: found speech, cut at pauses, transcribed.

What was heard is kept in the corpus: `speech.jsonl` (when somebody speaks in a recording) and
`transcripts.jsonl` (what was said in a piece, with the times of its words). A run that is stopped
goes on behind the last of their lines, and the same recordings give the same clips.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from dialoom.audio import AudioFileError, Segment, Waveform
from dialoom.audio.speech import SPEECH_RATE_HZ, SpeechDetector
from dialoom.audio.transcribe import WINDOW_S, Transcriber
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.cutting import PieceLimits, Span, cut, piece_id, piece_source, recording_name
from dialoom.data.entries import Entry, Untranscribed
from dialoom.data.journal import Journal, Record
from dialoom.text import prepare_text

SPEECH_FILE, TRANSCRIPTS_FILE = "speech.jsonl", "transcripts.jsonl"

SPLIT_LIMITS = PieceLimits(min_s=3.0, max_s=20.0)

EDGE_S = 0.2
"""Silence that a piece keeps at either end; less where the pause is shorter than two of these."""

PIECES_AT_ONCE = 8
"""Always the same pieces of a recording are transcribed together: so the result is the same."""

ProgressCallback = Callable[[int, int, int], None]
"""Told, after every entry that is worked on: entries done, entries in all, rejected in this run."""


@dataclass(frozen=True)
class Listener:
    """Who listens to recordings without transcripts.

    Attributes:
        transcriber: writes down what is said.
        detector: finds speech; None: recordings are not cut.
        limits: of the pieces.
    """

    transcriber: Transcriber
    detector: SpeechDetector | None = None
    limits: PieceLimits = SPLIT_LIMITS


@dataclass(frozen=True)
class _Speech:
    """When somebody speaks between two times of a recording."""

    start_s: float
    end_s: float
    spans: list[Span]


class _Sound:
    """A recording at 16 kHz, read when it is needed first."""

    def __init__(self, recording: SourceClip) -> None:
        self._audio = recording.audio
        self._waveform: Waveform | None = None

    def get(self) -> Waveform:
        if self._waveform is None:
            self._waveform = self._audio.load_recording(SPEECH_RATE_HZ)
        return self._waveform

    def part(self, segment: Segment | None) -> Waveform:
        whole, segment = self.get(), segment or Segment(0.0)
        first = round(segment.start_s * SPEECH_RATE_HZ)
        last = None if segment.end_s is None else round(segment.end_s * SPEECH_RATE_HZ)
        return Waveform(whole.samples[first:last], SPEECH_RATE_HZ)


def listen(
    entries: Sequence[Entry],
    listener: Listener,
    folder: Path,
    *,
    progress: ProgressCallback | None = None,
) -> Iterator[Entry]:
    """In place of every recording without a transcript its pieces, in the order of time.

    Args:
        entries: of the source.
        listener: who listens.
        folder: keeps what was heard.
        progress: hears how many recordings are done.

    Raises:
        DataError: what was heard before is damaged.
        AudioError: the recogniser does not know the language.
    """
    work = _Work(listener, Journal(folder / SPEECH_FILE), Journal(folder / TRANSCRIPTS_FILE))
    total = sum(isinstance(entry, Untranscribed) for entry in entries)
    done = rejected = 0
    for entry in entries:
        if not isinstance(entry, Untranscribed):
            yield entry
            continue
        pieces = list(work.pieces(entry.recording))
        done, rejected = done + 1, rejected + sum(isinstance(p, Rejection) for p in pieces)
        if progress is not None:
            progress(done, total, rejected)
        yield from pieces


@dataclass(frozen=True)
class _Work:
    """Who listens, and what was heard already."""

    listener: Listener
    speech: Journal
    transcripts: Journal

    def pieces(self, recording: SourceClip) -> Iterator[Entry]:
        """The clips of one recording, and the rejections of what cannot be one."""
        sound = _Sound(recording)
        try:
            cut_out = self._cut(recording, sound)
            clips = [piece for piece in cut_out if isinstance(piece, SourceClip)]
            transcribed = iter(self._transcribe(clips, sound))
        except AudioFileError as error:
            yield Rejection(recording.source, reason=error.reason, remedy=error.remedy)
            return
        for piece in cut_out:
            yield next(transcribed) if isinstance(piece, SourceClip) else piece

    def _cut(self, recording: SourceClip, sound: _Sound) -> list[Entry]:
        if self.listener.detector is not None:
            speech = self._find_speech(recording, sound, self.listener.detector)
            return list(_cut_at_pauses(recording, speech, self.listener.limits))
        if self.transcripts.get(self._transcript_key(recording)) is None:
            length_s = sound.part(recording.audio.segment).duration_s
            if length_s > WINDOW_S:
                reason = f"lasts {length_s:.1f} s, the recogniser hears {WINDOW_S:g} s at once"
                return [Rejection(recording.source, reason, "cut it at pauses with --split-long")]
        return [recording]

    def _find_speech(
        self, recording: SourceClip, sound: _Sound, detector: SpeechDetector
    ) -> _Speech:
        key = _key(detector.name, *_state(recording))
        found = self.speech.get(key)
        if found is None:
            whole = sound.part(None)
            times = [[round(s.start_s, 3), _end_s(s)] for s in detector.find(whole)]
            found = {
                "key": key,
                "source": recording.source,
                "detector": detector.name,
                "duration_s": math.floor(whole.duration_s * 1000) / 1000,
                "speech_s": times,
            }
            self.speech.add([found])
        spans = [Span(start, end) for start, end in cast(list[list[float]], found["speech_s"])]
        own = recording.audio.segment or Segment(0.0)
        last_s = cast(float, found["duration_s"]) if own.end_s is None else own.end_s
        within = [Span(max(s.start_s, own.start_s), min(s.end_s, last_s)) for s in spans]
        return _Speech(own.start_s, last_s, [span for span in within if span.duration_s > 0])

    def _transcribe(self, pieces: Sequence[SourceClip], sound: _Sound) -> Iterator[Entry]:
        for first in range(0, len(pieces), PIECES_AT_ONCE):
            group = pieces[first : first + PIECES_AT_ONCE]
            records = [self.transcripts.get(self._transcript_key(piece)) for piece in group]
            if None in records:
                self.transcripts.add(self._listen_to(group, sound))
        for piece in pieces:
            record = self.transcripts.get(self._transcript_key(piece))
            assert record is not None
            yield _transcribed(piece, record)

    def _listen_to(self, pieces: Sequence[SourceClip], sound: _Sound) -> list[Record]:
        transcriber = self.listener.transcriber
        waveforms = [sound.part(piece.audio.segment) for piece in pieces]
        heard = transcriber.transcribe(waveforms, pieces[0].language)
        return [
            {
                "key": self._transcript_key(piece),
                "id": piece.id,
                "recogniser": transcriber.name,
                "text": transcript.text,
                "confidence": round(transcript.confidence, 4),
                "words": [asdict(word) for word in transcript.words],
            }
            for piece, transcript in zip(pieces, heard, strict=True)
        ]

    def _transcript_key(self, piece: SourceClip) -> str:
        segment = piece.audio.segment
        times = [] if segment is None else [segment.start_s, segment.end_s]
        return _key(self.listener.transcriber.name, piece.language, *times, *_state(piece))


def _state(clip: SourceClip) -> list[object]:
    """Equal while the recording is the same; equal names in two directories are two recordings."""
    status, member = clip.audio.path.stat(), clip.audio.member
    identity = member.identity if member else ()
    return [recording_name(clip), status.st_size, status.st_mtime_ns, *identity]


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _end_s(segment: Segment) -> float:
    assert segment.end_s is not None
    return round(segment.end_s, 3)


def _cut_at_pauses(recording: SourceClip, speech: _Speech, limits: PieceLimits) -> Iterator[Entry]:
    spans = speech.spans
    pieces = {piece.start: piece for piece in cut(spans, limits)}
    held = {i for piece in pieces.values() for i in piece}
    for i, span in enumerate(spans):
        if i in pieces:
            segment = _with_edges(speech, pieces[i], limits)
            yield replace(
                recording,
                id=piece_id(recording, segment),
                audio=replace(recording.audio, segment=segment),
                source=piece_source(recording, segment),
            )
        elif i not in held:
            yield _left_out(recording, span, limits)
    if not spans:
        yield Rejection(recording.source, "nobody speaks in it", "remove it")


def _with_edges(speech: _Speech, piece: range, limits: PieceLimits) -> Segment:
    """Silence at either end, at most half of the pause and as much as the limit leaves."""
    spans = speech.spans
    first, last = spans[piece.start], spans[piece.stop - 1]
    spare_s = max(0.0, (limits.max_s - (last.end_s - first.start_s)) / 2)
    before_s = first.start_s - speech.start_s
    if piece.start > 0:
        before_s = (first.start_s - spans[piece.start - 1].end_s) / 2
    after_s = speech.end_s - last.end_s
    if piece.stop < len(spans):
        after_s = (spans[piece.stop].start_s - last.end_s) / 2
    start_s = first.start_s - min(EDGE_S, spare_s, before_s)
    end_s = last.end_s + max(0.0, min(EDGE_S, spare_s, after_s))
    first_ms = math.ceil(round(start_s * 1000, 3))
    last_ms = math.floor(round(end_s * 1000, 3))
    return Segment(first_ms / 1000, last_ms / 1000)


def _left_out(recording: SourceClip, span: Span, limits: PieceLimits) -> Rejection:
    source = piece_source(recording, Segment(span.start_s, span.end_s))
    if span.duration_s > limits.max_s:
        reason = f"is speech of {span.duration_s:.1f} s without a pause, more than "
        return Rejection(source, f"{reason}{limits.max_s:g} s", "raise --max-seconds")
    return Rejection(
        source,
        reason=f"is speech of {span.duration_s:.1f} s that no piece of {limits.min_s:g} to "
        f"{limits.max_s:g} s can hold",
        remedy="lower --min-seconds, or leave it out",
    )


def _transcribed(piece: SourceClip, record: Record) -> Entry:
    text = str(record["text"])
    if not text:
        return Rejection(piece.source, "holds no words that the recogniser hears", "leave it out")
    confidence = cast(float, record["confidence"])
    return replace(piece, text=prepare_text(text), confidence=confidence)
