"""When what is said, as subtitles: SubRip (.srt) and WebVTT (.vtt, w3.org/TR/webvtt1)."""

from collections.abc import Sequence
from pathlib import Path

from dialoom.errors import GenerationError
from dialoom.generate.narration import SpokenPart
from dialoom.text import Turn, split_turns

SUBTITLE_SUFFIXES = (".srt", ".vtt")


def check_subtitles(path: Path) -> None:
    """Refuses a file that `write_subtitles` could not write.

    Raises:
        GenerationError: the ending is none of subtitles, or there is no such directory.
    """
    if path.suffix.lower() not in SUBTITLE_SUFFIXES:
        raise GenerationError(
            f"{path}: subtitles are written as {' or '.join(SUBTITLE_SUFFIXES)}, by the ending"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise GenerationError(f"{path}: name a file in a directory that is there")


def write_subtitles(path: Path, parts: Sequence[SpokenPart]) -> None:
    """Writes a cue for each part that is heard; the ending says the format.

    Raises:
        GenerationError: as `check_subtitles`.
    """
    check_subtitles(path)
    write = to_vtt if path.suffix.lower() == ".vtt" else to_srt
    path.write_text(write(parts), encoding="utf-8")


def to_srt(parts: Sequence[SpokenPart]) -> str:
    """SubRip; a line for each turn, which names its speaker where there are several."""
    named = len({turn.speaker for part in parts for turn in split_turns(part.text)}) > 1
    cues = [
        f"{number}\n{_span(part, ',')}\n" + "\n".join(_line(turn, named) for turn in turns) + "\n"
        for number, (part, turns) in enumerate(_heard(parts), start=1)
    ]
    return "\n".join(cues)


def to_vtt(parts: Sequence[SpokenPart]) -> str:
    """WebVTT; a line for each turn, with its speaker as the voice."""
    cues = [
        f"{_span(part, '.')}\n"
        + "\n".join(f"<v {turn.speaker.strip('[]')}>{_escape(turn.text)}" for turn in turns)
        + "\n"
        for part, turns in _heard(parts)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _heard(parts: Sequence[SpokenPart]) -> list[tuple[SpokenPart, list[Turn]]]:
    return [(part, split_turns(part.text)) for part in parts if part.end_s > part.start_s]


def _line(turn: Turn, named: bool) -> str:
    return f"{turn.speaker.strip('[]')}: {turn.text}" if named else turn.text


def _span(part: SpokenPart, separator: str) -> str:
    return f"{_clock(part.start_s, separator)} --> {_clock(part.end_s, separator)}"


def _clock(seconds: float, separator: str) -> str:
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{separator}{milliseconds:03d}"


def _escape(text: str) -> str:
    """Characters that mean something in a cue."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
