"""The pages of docs/: their fenced blocks, their commands, and the files that they show."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_audio import tone

from dialoom.audio import AUDIO_SUFFIXES, write_audio

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))

FENCE = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")

CUT = ("a", "show")
"""Recordings of data.md that segments are cut from."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind that, and its lines."""

    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    blocks = [Block(page, language, title, text) for language, title, text in found]
    return [block for block in blocks if not languages or block.language in languages]


ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]


def lines(page: Path) -> Iterator[list[str]]:
    """The commands of a page, in words, without what is set in front of them."""
    for block in blocks(page, "bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.replace("$(which dialoom)", "dialoom"), comments=True)
            while words and ASSIGNMENT.fullmatch(words[0]):
                words = words[1:]
            if words:
                yield words


def write_sources(root: Path) -> None:
    """The examples of data.md, with a tone in place of each recording."""
    for block in blocks(DOCS / "data.md"):
        if block.language == "files":
            for name in block.text.split():
                path = root / name
                assert path.suffix in AUDIO_SUFFIXES
                path.parent.mkdir(parents=True, exist_ok=True)
                write_audio(path, tone(12.0 if path.stem in CUT else 3.0))
        elif block.title:
            (root / block.title).parent.mkdir(parents=True, exist_ok=True)
            (root / block.title).write_text(block.text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for block in blocks(DOCS / "data.md", "python"):
            exec(compile(block.text, "data.md", "exec"), {})
