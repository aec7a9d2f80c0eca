"""The one table of tags: script ↔ bytes, used by training and by speaking alike.

Dia reads UTF-8 bytes. A tag such as "[S1]" is a single byte that UTF-8 text never needs: a control
character or a byte that UTF-8 forbids. The table is written into every checkpoint, so that a byte
means at inference what it meant in training.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dialoom.errors import TextError

PAD_BYTE = 0
"""Pads texts in a batch, and stands for "no text" in classifier-free guidance."""

_TEXT_CONTROLS = frozenset({ord("\t"), ord("\n"), ord("\r")})
FREE_BYTES = frozenset(
    [byte for byte in range(1, 32) if byte not in _TEXT_CONTROLS]
    + [0xC0, 0xC1]
    + list(range(0xF5, 0x100))
)
"""Bytes that a tag may take: C0 controls without tab and line ends, and what RFC 3629 forbids."""

SPEAKER_TAGS = MappingProxyType({"[S1]": 1, "[S2]": 2})
LANGUAGE_TAGS = MappingProxyType(
    {
        "[en]": 3,
        "[de]": 4,
        "[fr]": 5,
        "[es]": 6,
        "[it]": 7,
        "[nl]": 14,
        "[pl]": 15,
        "[pt]": 16,
        "[tr]": 17,
        "[hu]": 18,
        "[vi]": 19,
    }
)
"""Bytes that published Dia fine-tunings use for languages; parkiet has speakers on 3 and 4."""

_TAG_PATTERN = re.compile(r"\[[A-Za-z0-9_-]+\]")


@dataclass(frozen=True)
class TagTable:
    """Which tag is which byte.

    Attributes:
        bytes_of_tags: "[name]" → byte; names are case-sensitive.
    """

    bytes_of_tags: Mapping[str, int] = field(
        default_factory=lambda: {**SPEAKER_TAGS, **LANGUAGE_TAGS}
    )

    def __post_init__(self) -> None:
        tag_of_byte: dict[int, str] = {}
        for tag, byte in self.bytes_of_tags.items():
            if not _TAG_PATTERN.fullmatch(tag):
                raise TextError(f"tag {tag!r}: write it as [name], of letters, digits, '_' and '-'")
            if byte not in FREE_BYTES:
                raise TextError(
                    f"tag {tag}: byte {byte} belongs to text or padding; take one of "
                    f"{_spell_ranges(FREE_BYTES)}"
                )
            if byte in tag_of_byte:
                raise TextError(f"tags {tag_of_byte[byte]} and {tag} share byte {byte}: move one")
            tag_of_byte[byte] = tag
        object.__setattr__(self, "bytes_of_tags", MappingProxyType(dict(self.bytes_of_tags)))

    @classmethod
    def default(cls) -> "TagTable":
        """Two speakers, and the languages whose bytes are in circulation."""
        return cls()

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the well-known list that this table has a byte for."""
        return tuple(tag[1:-1] for tag in LANGUAGE_TAGS if tag in self.bytes_of_tags)

    def unknown(self, text: str) -> list[str]:
        """The tags of a text that have no byte here: the model reads them letter by letter."""
        return [tag for tag in _TAG_PATTERN.findall(text) if tag not in self.bytes_of_tags]

    def encode(self, text: str, *, language: str | None = None) -> list[int]:
        """Text to byte ids, tags replaced, the language's tag in front. Nothing is ever cut.

        Raises:
            TextError: empty text, a control character where tags live, or a language without a tag.
        """
        if not text.strip():
            raise TextError("the text is empty: give at least one word")
        prefix = [] if language is None else [self._language_byte(language)]
        ids: list[int] = []
        end = 0
        for match in _TAG_PATTERN.finditer(text):
            byte = self.bytes_of_tags.get(match.group())
            if byte is None:
                continue
            ids += _plain_bytes(text[end : match.start()])
            ids.append(byte)
            end = match.end()
        return prefix + ids + _plain_bytes(text[end:])

    def decode(self, ids: list[int]) -> str:
        """Inverse of `encode`; a language byte comes back as its tag. Padding is left out."""
        tag_of_byte = {byte: tag for tag, byte in self.bytes_of_tags.items()}
        parts = (tag_of_byte[i].encode() if i in tag_of_byte else bytes([i]) for i in ids if i)
        return b"".join(parts).decode("utf-8", errors="replace")

    def _language_byte(self, language: str) -> int:
        tag = f"[{language}]"
        if tag not in self.bytes_of_tags:
            raise TextError(
                f"language {language!r} has no tag: add '{tag}' with a free byte to model.tags, "
                f"or leave the language out (known: {', '.join(self.languages)})"
            )
        return self.bytes_of_tags[tag]


def _plain_bytes(text: str) -> list[int]:
    try:
        ids = list(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise TextError(
            f"the text holds half a surrogate pair at character {error.start}"
        ) from None
    for position, byte in enumerate(ids):
        if byte < 32 and byte not in _TEXT_CONTROLS:
            raise TextError(
                f"the text holds control byte {byte} after {bytes(ids[:position])[-20:]!r}: "
                "control bytes stand for tags or padding; remove it"
            )
    return ids


def _spell_ranges(values: frozenset[int]) -> str:
    ordered = sorted(values)
    starts = [v for v in ordered if v - 1 not in values]
    ends = [v for v in ordered if v + 1 not in values]
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
