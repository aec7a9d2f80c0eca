"""The doctor's checks that need no sound: lengths, transcripts, tags, balance."""

import re
import statistics
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from dialoom.data import Rejection
from dialoom.data.script import text_ids
from dialoom.data.sources import MISSING_TRANSCRIPT, NO_SUCH_FILE
from dialoom.errors import TextError
from dialoom.evaluate.doctor_findings import Symptom
from dialoom.evaluate.doctor_subject import Limits, Subject, Utterance, layout_of
from dialoom.text import BRACKETS, NONVERBALS, TagTable

TOO_SHORT_S, LONG_S, FEW_HOURS = 0.4, 20.0, 0.5
NEAR_LIMIT = 0.8
MULTI_BYTE = 1.8
"""Bytes per letter from which a script counts as one of several bytes: Cyrillic has 1.8 to 1.9."""

MIN_GROUP = 8
"""Clips of a language from which a median means something."""
OUTLIER_DEVIATIONS, OUTLIER_FACTOR = 6.0, 2.2
"""How far from the median letters per second must be, in robust deviations and as a ratio."""
LEAST_DEVIATION = 0.08
"""Of the logarithm; clips that all have nearly the same speed do not make outliers of the rest."""

UNEVEN_FACTOR = 10
"""A language or a speaker with so many times less speech than the largest is mentioned."""

_SPEAKER = re.compile(r"\[S\d+\]")
_TAG = re.compile(r"\[[A-Za-z0-9_-]+\]")
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf]|â€|Ð[\u0080-\u00bf]")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|&[A-Za-z]+;|&#\d+;|https?://")
_JOINERS = "\u200c\u200d"
"""Invisible, but some scripts are spelled with them."""


def check_texts(subject: Subject) -> Iterator[Symptom]:
    """All of them."""
    yield from _check_refused(subject)
    utterances = subject.utterances
    for utterance in utterances:
        for check in _CLIP_CHECKS:
            yield from check(utterance, subject.limits)
        yield from _check_steps(utterance, subject)
    yield from _check_speed(utterances)
    yield from _check_duplicate_texts(utterances)
    yield from _check_whole(subject)


def spoken(text: str) -> str:
    """What is said: without tags and non-verbals."""
    return " ".join(_TAG.sub(" ", BRACKETS.sub(" ", text)).split())


def num_bytes(utterance: Utterance, tags: TagTable) -> int:
    """Bytes that the model reads, tags one each; 0 for a text that it cannot read."""
    try:
        return len(text_ids(utterance.text, utterance.language, tags))
    except TextError:
        return 0


def letters_per_second(utterance: Utterance) -> float | None:
    """None where there is no length or nothing is said."""
    letters = len(spoken(utterance.text))
    if not utterance.duration_s or not letters:
        return None
    return letters / utterance.duration_s


def _check_refused(subject: Subject) -> Iterator[Symptom]:
    for rejection in subject.refused:
        code = _refusal_code(rejection) if subject.kind == "source" else "left-out"
        yield Symptom(code, rejection.source, f"{rejection.reason}; {rejection.remedy}")


def _refusal_code(rejection: Rejection) -> str:
    if rejection.reason.startswith(MISSING_TRANSCRIPT):
        return "empty-text"
    return "missing-audio" if rejection.reason.startswith(NO_SUCH_FILE) else "refused"


def _check_length(utterance: Utterance, limits: Limits) -> Iterator[Symptom]:
    length_s = utterance.duration_s
    if length_s is None:
        yield Symptom("unreadable-audio", utterance.id, utterance.problem)
    elif length_s < TOO_SHORT_S:
        yield Symptom("too-short", utterance.id, f"{length_s:.2f} s")
    elif length_s > LONG_S:
        yield Symptom("long", utterance.id, f"{length_s:.1f} s")
    if length_s and limits.recipe_seconds and length_s > limits.recipe_seconds:
        detail = f"{length_s:.1f} s, data.max_seconds is {limits.recipe_seconds:g}"
        yield Symptom("over-recipe", utterance.id, detail)


def _check_steps(utterance: Utterance, subject: Subject) -> Iterator[Symptom]:
    if utterance.duration_s is None:
        return
    spec = subject.codec_spec
    num_frames = round(utterance.duration_s * spec.frames_per_second)
    num_steps = layout_of(spec).num_steps(num_frames)
    if num_steps > subject.limits.max_steps:
        detail = f"{utterance.duration_s:.1f} s, {num_steps} steps of {subject.limits.max_steps}"
        yield Symptom("over-steps", utterance.id, detail)


def _check_bytes(utterance: Utterance, limits: Limits) -> Iterator[Symptom]:
    size, most = num_bytes(utterance, limits.tags), limits.max_text_bytes
    if size > NEAR_LIMIT * most:
        code = "over-bytes" if size > most else "near-bytes"
        yield Symptom(code, utterance.id, f"{size} bytes of {most}")
    if limits.recipe_text_bytes and size > limits.recipe_text_bytes:
        detail = f"{size} bytes, data.max_text_bytes is {limits.recipe_text_bytes}"
        yield Symptom("over-recipe", utterance.id, detail)


def _check_characters(utterance: Utterance, _: Limits) -> Iterator[Symptom]:
    text = utterance.text
    if not spoken(text) and not BRACKETS.search(text):
        yield Symptom("empty-text", utterance.id, "nothing is said")
    control = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Cn") or c == "\ufffd"]
    if control:
        yield Symptom("control-characters", utterance.id, _name_characters(control))
    if match := _MOJIBAKE.search(text):
        yield Symptom("mojibake", utterance.id, f"'{match.group()}'")
    odd = [c for c in text if _is_odd(c)]
    if odd:
        yield Symptom("odd-characters", utterance.id, _name_characters(odd))
    elif match := _MARKUP.search(text):
        yield Symptom("odd-characters", utterance.id, f"markup: {match.group()[:30]}")


def _is_odd(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("So", "Co") or (category == "Cf" and character not in _JOINERS)


def _name_characters(characters: Iterable[str]) -> str:
    names = [f"U+{ord(c):04X} {unicodedata.name(c, '')}".strip() for c in dict.fromkeys(characters)]
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _check_tags(utterance: Utterance, limits: Limits) -> Iterator[Symptom]:
    text = utterance.text
    if unknown := limits.tags.unknown(text):
        yield Symptom("unknown-tag", utterance.id, ", ".join(dict.fromkeys(unknown)))
    speakers = _SPEAKER.findall(text)
    if not speakers:
        yield Symptom("no-tag", utterance.id, "no [S1]")
    elif not text.startswith("[S1]"):
        yield Symptom("not-first-speaker", utterance.id, f"begins '{text[:20]}'")
    twice = [a for a, b in pairwise(speakers) if a == b]
    if twice:
        yield Symptom("same-speaker-twice", utterance.id, f"{twice[0]} … {twice[0]}")
    unknown = [found for found in BRACKETS.findall(text) if found.lower() not in NONVERBALS]
    if unknown:
        yield Symptom("unknown-nonverbal", utterance.id, ", ".join(dict.fromkeys(unknown)))


_CLIP_CHECKS: tuple[Callable[[Utterance, Limits], Iterator[Symptom]], ...] = (
    _check_length,
    _check_bytes,
    _check_characters,
    _check_tags,
)


def _check_speed(utterances: Sequence[Utterance]) -> Iterator[Symptom]:
    """Letters per second, against the median of the clip's language."""
    groups: defaultdict[str | None, list[tuple[Utterance, float]]] = defaultdict(list)
    for utterance in utterances:
        if (speed := letters_per_second(utterance)) is not None:
            groups[utterance.language].append((utterance, speed))
    for group in groups.values():
        if len(group) < MIN_GROUP:
            continue
        median = statistics.median(speed for _, speed in group)
        lowest, highest = _usual(median, [speed for _, speed in group])
        for utterance, speed in group:
            if not lowest <= speed <= highest:
                code = "text-too-long" if speed > median else "text-too-short"
                detail = f"{speed:.1f} letters per second, the median is {median:.1f}"
                yield Symptom(code, utterance.id, detail)


def _usual(median: float, speeds: Sequence[float]) -> tuple[float, float]:
    """The range around the median outside of which a speed is an outlier."""
    ratios = [max(speed / median, median / speed) - 1 for speed in speeds]
    deviation = max(1.4826 * statistics.median(ratios), LEAST_DEVIATION)
    factor = max(OUTLIER_FACTOR, 1 + OUTLIER_DEVIATIONS * deviation)
    return median / factor, median * factor


def _check_duplicate_texts(utterances: Sequence[Utterance]) -> Iterator[Symptom]:
    first: dict[str, str] = {}
    for utterance in utterances:
        key = spoken(utterance.text).casefold()
        if key and first.setdefault(key, utterance.id) != utterance.id:
            yield Symptom("duplicate-text", utterance.id, f"as {first[key]}")


def _check_whole(subject: Subject) -> Iterator[Symptom]:
    utterances = subject.utterances
    hours = sum(u.duration_s or 0.0 for u in utterances) / 3600
    if hours < FEW_HOURS:
        yield Symptom("few-hours", "", f"{60 * hours:.1f} minutes in all")
    if subject.kind == "corpus":
        for split in ("train", "valid"):
            if not any(u.split == split for u in utterances):
                yield Symptom(f"no-{split}", "", f"the split {split} has no clip")
    if utterances and not any("[S2]" in u.text for u in utterances):
        yield Symptom("one-speaker", "", "[S2] is in no transcript")
    yield from _check_scripts(utterances, subject.limits)
    yield from _check_balance(utterances, "languages-uneven", lambda u: u.language)
    yield from _check_balance(utterances, "speakers-uneven", lambda u: u.speaker)


def _check_scripts(utterances: Sequence[Utterance], limits: Limits) -> Iterator[Symptom]:
    for language in sorted({u.language for u in utterances if u.language}):
        if f"[{language}]" not in limits.tags.bytes_of_tags:
            yield Symptom("language-without-tag", "", language)
    for name in dict.fromkeys(u.language for u in utterances):
        texts = [spoken(u.text) for u in utterances if u.language == name]
        letters = sum(map(len, texts))
        ratio = bytes_per_letter(texts)
        if letters and ratio >= MULTI_BYTE:
            most = int(limits.max_text_bytes / ratio)
            detail = f"{name or 'no language named'}: {ratio:.1f} bytes a letter, so at most "
            yield Symptom("multi-byte", "", f"{detail}{most} letters a clip")


def bytes_per_letter(texts: Sequence[str]) -> float:
    """In UTF-8; 0 where there is no letter."""
    letters = sum(map(len, texts))
    size = sum(len(text.encode("utf-8", errors="replace")) for text in texts)
    return size / letters if letters else 0.0


def _check_balance(
    utterances: Sequence[Utterance], code: str, group_of: Callable[[Utterance], str | None]
) -> Iterator[Symptom]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for utterance in utterances:
        if (group := group_of(utterance)) is not None:
            seconds[group] += utterance.duration_s or 0.0
    most = max(seconds.values(), default=0.0)
    for group, length_s in sorted(seconds.items()):
        if length_s * UNEVEN_FACTOR <= most:
            detail = f"{group}: {length_s / 60:.1f} minutes, the largest has {most / 60:.1f}"
            yield Symptom(code, "", detail)
