"""What the doctor looks for: one rule a line of the table, and the findings that come of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["good", "note", "bad"]
Basis = Literal["text", "sound", "targets", "never"]

MAX_EXAMPLES = 5
"""Examples that a finding keeps."""


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        code: short, stable: for scripts that read the JSON.
        severity: of the finding, where there is one.
        basis: what must have been looked at before its absence is good news; never: it is no news.
        title: what is wrong; stands before a colon.
        advice: what to do.
    """

    code: str
    severity: Literal["note", "bad"]
    basis: Basis
    title: str
    advice: str


@dataclass(frozen=True)
class Symptom:
    """One thing that is wrong with one clip, or with all together where `clip_id` is empty."""

    code: str
    clip_id: str
    detail: str


@dataclass(frozen=True)
class Example:
    """A clip to look at, and what is wrong with it; no id: it concerns all."""

    clip_id: str
    detail: str


@dataclass(frozen=True)
class Finding:
    """What one rule came to.

    Attributes:
        code: of the rule.
        severity: "good" where nothing was found.
        title: what it is about.
        num_found: how many clips; for what concerns all, how many such things.
        examples: the first of them.
        advice: what to do; empty where nothing was found.
    """

    code: str
    severity: Severity
    title: str
    num_found: int
    examples: tuple[Example, ...]
    advice: str


def conclude(
    symptoms: Iterable[Symptom], bases: Sequence[Basis], rules: Sequence[Rule]
) -> tuple[Finding, ...]:
    """A finding for every rule that was looked at, in the order of the rules."""
    found: dict[str, list[Symptom]] = {rule.code: [] for rule in rules}
    for symptom in symptoms:
        found[symptom.code].append(symptom)
    return tuple(
        _finding(rule, found[rule.code])
        for rule in rules
        if found[rule.code] or rule.basis in bases
    )


def _finding(rule: Rule, symptoms: Sequence[Symptom]) -> Finding:
    return Finding(
        code=rule.code,
        severity=rule.severity if symptoms else "good",
        title=rule.title,
        num_found=len({symptom.clip_id or symptom.detail for symptom in symptoms}),
        examples=tuple(Example(s.clip_id, s.detail) for s in symptoms[:MAX_EXAMPLES]),
        advice=rule.advice if symptoms else "",
    )
