"""Makes the recordings that the base model `mini` is trained on, and those it is measured with.

    python recipes/mini_model/make_corpus.py OUT --texts SENTENCES.txt --hours 8

needs espeak-ng on the PATH. OUT/everyday, OUT/words, OUT/book, OUT/talk, OUT/train and OUT/heldout,
OUT/heldout-german, OUT/heldout-book each become a source that `dialoom prepare --format csv` reads.
A clip's name is a hash of who says what in it: running the same command again makes only what is
missing, and gives the same corpus.
"""

import argparse
import csv
import hashlib
import io
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile as sf
from sentences import key, pieces, say_english, say_german


@dataclass(frozen=True)
class Voice:
    """What espeak-ng is asked for; the variant gives the timbre in any language."""

    variant: str
    words_per_minute: int
    accent: str = "en-us"


VOICES = {
    "[S1]": Voice("m7", 165),
    "[S2]": Voice("f1", 170),
    "[S3]": Voice("m4", 160, "en-gb"),
    "[S4]": Voice("Annie", 170, "en-gb"),
    "[S5]": Voice("m8", 180),
    "[S6]": Voice("f5", 160),
}
"""Each tag is one voice: the text decides who speaks. recipe.yaml has the bytes of [S3] to [S6]."""

OWN = "[S1]"
"""The base's own voice: most of what it hears, and what it is measured with."""

PAIRS = (("[S1]", "[S2]"), ("[S3]", "[S4]"), ("[S5]", "[S6]"))
PAIR_SHARES = (0.7, 0.15, 0.15)

GERMAN_SHARE = 0.2
DIALOGUE_SHARE = 0.15
OWN_SENTENCE_SHARE = 0.15
"""Of the English sentences: from the grammar, not from the text file."""

UNTAGGED_SHARE = 0.5
"""Of the English clips: without a language, as most people will ask for speech."""

EVERYDAY_HELD_OUT = {
    "en": Path(__file__).with_name("heldout.txt"),
    "de": Path(__file__).with_name("heldout_german.txt"),
}
"""Sentences of the grammars that no clip of a training has."""

NUM_HELD_OUT = 50
"""Of the text file's sentences."""
SHORT_CHARACTERS = 38
"""At most so long is each of the two turns of a dialogue."""

CLIPS_AT_ONCE = 200
"""Handed to the threads together; the hours are counted after each lot."""

EVERYDAY_HOURS = 5.0
"""Of the grammar's sentences in the base's own voice: few words, each heard a thousand times."""

BOOK_HOURS = 12.0
"""Of the text file's in that voice: spelling is learnt from many words, and sooner in one voice."""

WORDS_HOURS = 6.0
WORDS_OWN_SHARE = 0.85
WORDS_GERMAN_SHARE = 0.1
FRAGMENT_SHARES = {1: 0.25, 2: 0.3, 3: 0.25, 4: 0.2}
"""Of fragments of one word to four: a model learns what letters sound like where there are so few
that it cannot mistake their place."""

TALK_HOURS = 5.0
TALK_TURNS = {1: 0.3, 2: 0.3, 3: 0.25, 4: 0.15}
"""Of everyday talk between the base's first two voices: who speaks is to be told from the tag even
where the other voice has just been heard."""

MIN_S, MAX_S = 0.3, 10.5
EDGE_S = 0.08
"""Silence kept before and after a clip."""
TURN_GAP_S = 0.2
SILENCE = 0.004
"""Samples under this share of full scale at a turn's ends are silence."""
RMS, MAX_PEAK = 0.09, 0.95
"""Level that every turn is brought to, and what its peak may not pass."""


@dataclass(frozen=True)
class Script:
    """Who says what: turns of (tag, sentence)."""

    turns: tuple[tuple[str, str], ...]
    language: str
    tagged: bool = True

    @property
    def text(self) -> str:
        return " ".join(f"{tag} {sentence}" for tag, sentence in self.turns)

    @property
    def file(self) -> str:
        spoken = repr((self.language, [(VOICES[tag], said) for tag, said in self.turns]))
        return f"clips/{hashlib.sha256(spoken.encode()).hexdigest()[:16]}.flac"

    @property
    def row(self) -> tuple[str, str, str, str]:
        speakers = "+".join(tag.strip("[]").lower() for tag, _ in self.turns)
        return self.file, self.text, self.language if self.tagged else "", speakers


def choose_held_out(lines: list[str], rng: random.Random) -> list[str]:
    """Whole sentences of two to five seconds, no two alike."""
    fit = {
        key(line): line
        for line in lines
        if 30 <= len(line)
        and line[0].isupper()
        and line.endswith((".", "?"))
        and line.count(".") < 2
        if [line] == list(pieces(line))
    }
    return [fit[chosen] for chosen in rng.sample(sorted(fit), NUM_HELD_OUT)]


def training_sentences(lines: list[str], held_out: list[str]) -> list[str]:
    """The pieces of all lines, each once; none holds a held-out sentence or is part of one."""
    kept = {key(piece): piece for line in lines for piece in pieces(line)}
    secret = [key(sentence) for sentence in held_out]
    return [
        piece
        for words, piece in kept.items()
        if not any(words in other or other in words for other in secret)
    ]


def endless(items: list[str], rng: random.Random) -> Iterator[str]:
    """The items in random order, again and again."""
    while True:
        yield from rng.sample(items, len(items))


def plan(sentences: list[str], rng: random.Random, secret: set[str]) -> Iterator[Script]:
    """Endless scripts, no two alike, without the held-out sentences of the grammar."""
    short_ones = [sentence for sentence in sentences if len(sentence) <= SHORT_CHARACTERS]
    book = {False: endless(sentences, rng), True: endless(short_ones, rng)}
    seen: set[str] = set()
    while True:
        pair = rng.choices(PAIRS, PAIR_SHARES)[0]
        language = "de" if rng.random() < GERMAN_SHARE else "en"
        is_dialogue = rng.random() < DIALOGUE_SHARE
        tags = pair if is_dialogue else (rng.choice(pair),)
        turns = tuple((tag, _sentence(language, is_dialogue, book, rng)) for tag in tags)
        tagged = language != "en" or rng.random() >= UNTAGGED_SHARE
        script = Script(turns, language, tagged)
        if script.file not in seen and not any(key(said) in secret for _, said in turns):
            seen.add(script.file)
            yield script


def plan_everyday(rng: random.Random, secret: set[str]) -> Iterator[Script]:
    """Sentences of the grammar in the base's own voice, no two alike."""
    seen = set(secret)
    while True:
        sentence = say_english(rng)
        if key(sentence) not in seen:
            seen.add(key(sentence))
            yield Script(((OWN, sentence),), "en", tagged=rng.random() >= UNTAGGED_SHARE)


def plan_talk(rng: random.Random, secret: set[str]) -> Iterator[Script]:
    """Sentences of the grammars by two voices in turn, a fifth German, no two clips alike."""
    seen: set[str] = set()
    while True:
        language, say = ("de", say_german) if rng.random() < GERMAN_SHARE else ("en", say_english)
        length = rng.choices(list(TALK_TURNS), list(TALK_TURNS.values()))[0]
        first = rng.randrange(2)
        turns = tuple((PAIRS[0][(first + i) % 2], say(rng)) for i in range(length))
        tagged = language != "en" or rng.random() >= UNTAGGED_SHARE
        script = Script(turns, language, tagged)
        if script.file not in seen and not any(key(said) in secret for _, said in turns):
            seen.add(script.file)
            yield script


def plan_book(sentences: list[str], rng: random.Random) -> Iterator[Script]:
    """Every sentence of the text file once, in the base's own voice."""
    for sentence in rng.sample(sentences, len(sentences)):
        yield Script(((OWN, sentence),), "en", tagged=rng.random() >= UNTAGGED_SHARE)


def plan_words(sentences: list[str], rng: random.Random) -> Iterator[Script]:
    """Endless fragments of sentences, no two alike in one voice."""
    book = endless(sentences, rng)
    seen: set[str] = set()
    while True:
        language = "de" if rng.random() < WORDS_GERMAN_SHARE else "en"
        words = (next(book) if language == "en" else say_german(rng)).rstrip(".?!").split()
        length = rng.choices(list(FRAGMENT_SHARES), list(FRAGMENT_SHARES.values()))[0]
        start = rng.randrange(max(1, len(words) - length + 1))
        fragment = " ".join(words[start : start + length]).strip(" ,;:-'") + "."
        is_own = rng.random() < WORDS_OWN_SHARE
        tag = OWN if is_own else rng.choice(rng.choices(PAIRS, PAIR_SHARES)[0])
        tagged = language != "en" or rng.random() >= UNTAGGED_SHARE
        script = Script(((tag, fragment[:1].upper() + fragment[1:]),), language, tagged)
        if script.file not in seen:
            seen.add(script.file)
            yield script


def _sentence(
    language: str, is_short: bool, book: dict[bool, Iterator[str]], rng: random.Random
) -> str:
    if language == "en" and rng.random() >= OWN_SENTENCE_SHARE:
        return next(book[is_short])
    say: Callable[[random.Random], str] = say_english if language == "en" else say_german
    while is_short and len(sentence := say(rng)) > SHORT_CHARACTERS:
        pass
    return sentence if is_short else say(rng)


def speak(voice: Voice, sentence: str, language: str) -> tuple[np.ndarray, int]:
    """One turn without the silence around it, at the common level, and its sample rate."""
    name = f"{voice.accent if language == 'en' else language}+{voice.variant}"
    command = ["espeak-ng", "-v", name, "-s", str(voice.words_per_minute), "--stdout", sentence]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples, sample_rate_hz = sf.read(io.BytesIO(wav), dtype="float32")
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    samples = samples[loud[0] : loud[-1] + 1]
    gain = min(RMS / np.sqrt(np.mean(samples**2)), MAX_PEAK / np.abs(samples).max())
    return samples * gain, sample_rate_hz


def record(folder: Path, script: Script) -> float:
    """Makes the clip unless it is there, and gives its length in seconds."""
    path = folder / script.file
    if path.exists():
        return float(sf.info(path).duration)
    parts: list[np.ndarray] = []
    sample_rate_hz = 0
    for tag, sentence in script.turns:
        samples, sample_rate_hz = speak(VOICES[tag], sentence, script.language)
        gap_s = TURN_GAP_S if parts else EDGE_S
        parts += [np.zeros(round(gap_s * sample_rate_hz), np.float32), samples]
    parts.append(np.zeros(round(EDGE_S * sample_rate_hz), np.float32))
    clip = np.concatenate(parts)
    duration_s = len(clip) / sample_rate_hz
    if MIN_S <= duration_s <= MAX_S:
        temporary = path.with_suffix(".partial")
        sf.write(temporary, clip, sample_rate_hz, format="FLAC", subtype="PCM_16")
        temporary.replace(path)
    return duration_s


def make_source(folder: Path, scripts: Iterable[Script], *, hours: float) -> None:
    """Records scripts until the hours are full, and lists them in metadata.csv."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str, str]] = []
    seconds: Counter[tuple[str, str]] = Counter()
    left = iter(scripts)
    with ThreadPoolExecutor(2) as pool:
        while block := list(islice(left, CLIPS_AT_ONCE)):
            durations = pool.map(lambda script: record(folder, script), block)
            for script, duration_s in zip(block, durations, strict=True):
                if MIN_S <= duration_s <= MAX_S and seconds.total() < hours * 3600:
                    rows.append(script.row)
                    seconds[script.language, script.row[3]] += duration_s
            if seconds.total() >= hours * 3600:
                break
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("audio", "text", "language", "speaker"))
        writer.writerows(rows)
    print(f"{folder}: {len(rows)} clips, {seconds.total() / 3600:.2f} h")
    for (language, speakers), total_s in sorted(seconds.items()):
        print(f"  {language} {speakers:<6} {total_s / 60:6.1f} min")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="English, a sentence a line")
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    lines = [line.strip() for line in args.texts.read_text(encoding="utf-8").split("\n")]
    held_out = choose_held_out(lines, rng)
    sentences = training_sentences(lines, held_out)
    print(f"{len(sentences)} English pieces of {args.texts.name}")
    everyday = {
        language: path.read_text(encoding="utf-8").splitlines()
        for language, path in EVERYDAY_HELD_OUT.items()
    }
    secret = {key(sentence) for chosen in everyday.values() for sentence in chosen}
    for name, language, chosen in (
        ("heldout", "en", everyday["en"]),
        ("heldout-german", "de", everyday["de"]),
        ("heldout-book", "en", held_out),
    ):
        scripts = [Script(((OWN, sentence),), language) for sentence in chosen]
        make_source(args.out / name, scripts, hours=1.0)
    make_source(args.out / "everyday", plan_everyday(rng, secret), hours=EVERYDAY_HOURS)
    make_source(args.out / "words", plan_words(sentences, rng), hours=WORDS_HOURS)
    make_source(args.out / "book", plan_book(sentences, rng), hours=BOOK_HOURS)
    make_source(args.out / "talk", plan_talk(rng, secret), hours=TALK_HOURS)
    make_source(args.out / "train", plan(sentences, rng, secret), hours=args.hours)


if __name__ == "__main__":
    main()
