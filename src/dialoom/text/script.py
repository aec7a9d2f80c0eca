"""Scripts as Dia reads them."""

import re
import unicodedata

SPEAKER_TAG = re.compile(r"\[S\d+\]")
FIRST_SPEAKER = "[S1]"


def prepare_text(text: str) -> str:
    """NFC, white space collapsed, and "[S1] " in front of a text that names no speaker.

    Dia was trained on scripts that begin with a speaker; without one the voice is random.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if not text or SPEAKER_TAG.search(text) else f"{FIRST_SPEAKER} {text}"
