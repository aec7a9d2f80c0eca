"""Scripts as Dia reads them: turns, each led by its speaker's tag."""

import re
import unicodedata
from dataclasses import dataclass

SPEAKER_TAG = re.compile(r"\[S\d+\]")
FIRST_SPEAKER, SECOND_SPEAKER = "[S1]", "[S2]"


@dataclass(frozen=True)
class Turn:
    """What one speaker says before another does.

    Attributes:
        speaker: the tag, "[S1]".
        text: without the tag.
    """

    speaker: str
    text: str

    def __str__(self) -> str:
        return f"{self.speaker} {self.text}"


def prepare_text(text: str, speaker: str = FIRST_SPEAKER) -> str:
    """NFC, white space collapsed, and the speaker's tag in front of a text that names no speaker.

    Dia was trained on scripts that begin with a speaker; without one the voice is random.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if not text or SPEAKER_TAG.search(text) else f"{speaker} {text}"


def split_turns(text: str) -> list[Turn]:
    """The turns of a script; what stands before the first tag belongs to the first speaker.

    Turns without words are left out, and two of one speaker in a row become one.
    """
    script = prepare_text(text)
    tags = [FIRST_SPEAKER, *SPEAKER_TAG.findall(script)]
    turns: list[Turn] = []
    for speaker, said in zip(tags, SPEAKER_TAG.split(script), strict=True):
        if not said.strip():
            continue
        if turns and turns[-1].speaker == speaker:
            turns[-1] = Turn(speaker, f"{turns[-1].text} {said.strip()}")
        else:
            turns.append(Turn(speaker, said.strip()))
    return turns


def join_scripts(before: str, after: str) -> str:
    """Two scripts as one; where the speaker goes on, the tag is not said again.

    Dia's makers warn of two turns of one speaker in a row (nari-labs/dia, "Generation Guidelines").
    """
    tags = SPEAKER_TAG.findall(before)
    if tags and after.startswith(tags[-1]):
        after = after.removeprefix(tags[-1]).lstrip()
    return f"{before} {after}"


def add_ending_tag(text: str) -> str:
    """Puts the tag of the last speaker but one behind the script, as Dia's makers advise.

    The end of the last sentence then sounds better (nari-labs/dia, "Generation Guidelines"). After
    a single turn it is the tag of whose turn it would be.
    """
    script = prepare_text(text)
    speakers = [turn.speaker for turn in split_turns(script)]
    if not speakers or SPEAKER_TAG.fullmatch(script.rsplit(" ", 1)[-1]):
        return script
    if len(speakers) > 1:
        return f"{script} {speakers[-2]}"
    other = SECOND_SPEAKER if speakers[0] == FIRST_SPEAKER else FIRST_SPEAKER
    return f"{script} {other}"


def spoken_bytes(text: str) -> int:
    """UTF-8 bytes of what is said: tags are not."""
    return len(" ".join(turn.text for turn in split_turns(text)).encode())
