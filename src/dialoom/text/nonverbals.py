"""Sounds that are no words, written in brackets: "(laughs)"."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NONVERBALS = frozenset(
    "(laughs) (clears throat) (sighs) (gasps) (coughs) (singing) (sings) (mumbles) (beep) (groans) "
    "(sniffs) (claps) (screams) (inhales) (exhales) (applause) (burps) (humming) (sneezes) "
    "(chuckle) (whistles)".replace(") (", ")|(").split("|")
)
"""The sounds that Dia's authors trained it on."""

BRACKETS = re.compile(r"\([^()]{1,40}\)")


@dataclass(frozen=True)
class Nonverbals:
    """What stands in brackets in some transcripts.

    Attributes:
        num_known: how often a sound that Dia knows.
        unknown: what else, and how often; the most frequent first.
    """

    num_known: int
    unknown: Mapping[str, int]


def count_nonverbals(texts: Iterable[str]) -> Nonverbals:
    """Upper case counts as lower case."""
    found = Counter(tag.lower() for text in texts for tag in BRACKETS.findall(text))
    known = sum(count for tag, count in found.items() if tag in NONVERBALS)
    unknown = {tag: count for tag, count in found.most_common() if tag not in NONVERBALS}
    return Nonverbals(known, unknown)
