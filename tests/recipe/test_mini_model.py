"""The recipe of the base model fits the corpus that is made for it."""

import random
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import islice, pairwise
from pathlib import Path
from types import ModuleType

import pytest

from dialoom.data.script import text_ids
from dialoom.recipe import load_recipe
from dialoom.text import TagTable

FOLDER = Path(__file__).parents[2] / "recipes" / "mini_model"

LINES = [
    f"The {noun} stood {place}, and nobody said {why}."
    for noun in ("horse", "carriage", "captain", "witness", "lantern", "prisoner", "clerk")
    for place in ("by the gate", "near the river", "behind the church", "at the corner")
    for why in ("why", "how it came there", "whose it was")
] + [f"Mr. Brown sold his {thing}." for thing in ("house", "boat", "cart", "two dogs", "old coat")]


@pytest.fixture(scope="module")
def make_corpus() -> Iterator[ModuleType]:
    """The script, without what it leaves in the table of modules."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield import_module("make_corpus")
    sys.path.remove(str(FOLDER))
    for name in {"make_corpus", "sentences"} - before:
        del sys.modules[name]


def test_every_tag_of_the_corpus_is_one_byte_for_the_model(make_corpus: ModuleType) -> None:
    recipe = load_recipe(FOLDER / "recipe.yaml")
    tags = recipe.tag_table(TagTable.default())
    rng = random.Random(0)
    scripts = list(
        islice(make_corpus.plan(make_corpus.training_sentences(LINES, []), rng, set()), 300)
    )
    assert {tag for script in scripts for tag, _ in script.turns} == set(make_corpus.VOICES)
    for script in scripts:
        assert min(text_ids(script.text, script.row[2] or None, tags)) < 32
        assert b"[" not in bytes(text_ids(script.text, script.row[2] or None, tags))


def test_the_shares_are_those_that_it_names(make_corpus: ModuleType) -> None:
    sentences = make_corpus.training_sentences(LINES, [])
    scripts = list(islice(make_corpus.plan(sentences, random.Random(0), set()), 500))
    german = sum(script.language == "de" for script in scripts) / len(scripts)
    dialogues = sum(len(script.turns) == 2 for script in scripts) / len(scripts)
    assert 0.15 < german < 0.5  # English repeats itself here, and a script comes only once
    assert 0.08 < dialogues < 0.25
    assert len({script.file for script in scripts}) == len(scripts)


def test_no_training_sentence_holds_a_held_out_one(make_corpus: ModuleType) -> None:
    held_out = make_corpus.choose_held_out(LINES * 2, random.Random(0))
    assert len(held_out) == len(set(held_out)) == make_corpus.NUM_HELD_OUT
    training = make_corpus.training_sentences(LINES, held_out)
    assert training
    assert not any(a in b or b in a for a in training for b in held_out)


def test_everyday_sentences_that_are_held_out_are_nowhere_in_the_training(
    make_corpus: ModuleType,
) -> None:
    key = import_module("sentences").key
    held_out = [
        path.read_text(encoding="utf-8").splitlines()
        for path in make_corpus.EVERYDAY_HELD_OUT.values()
    ]
    assert [len(set(map(key, sentences))) for sentences in held_out] == [50, 50]
    secret = {key(sentence) for sentences in held_out for sentence in sentences}
    everyday = islice(make_corpus.plan_everyday(random.Random(0), secret), 2000)
    mixed = islice(make_corpus.plan(["One."] * 100, random.Random(0), secret), 300)
    talk = islice(make_corpus.plan_talk(random.Random(0), secret), 2000)
    said = [sentence for script in (*everyday, *mixed, *talk) for _, sentence in script.turns]
    assert not secret & set(map(key, said))
    for plan in (make_corpus.plan_everyday, make_corpus.plan_talk):
        spoilt = list(islice(plan(random.Random(0), set()), 2000))
        assert secret & {key(sentence) for script in spoilt for _, sentence in script.turns}


def test_talk_is_of_two_voices_in_turn(make_corpus: ModuleType) -> None:
    scripts = list(islice(make_corpus.plan_talk(random.Random(0), set()), 1000))
    lengths = [len(script.turns) for script in scripts]
    for turns, share in make_corpus.TALK_TURNS.items():
        assert abs(lengths.count(turns) / len(scripts) - share) < 0.05
    for script in scripts:
        tags = [tag for tag, _ in script.turns]
        assert set(tags) <= {"[S1]", "[S2]"}
        assert all(one != other for one, other in pairwise(tags))
    assert {script.turns[0][0] for script in scripts} == {"[S1]", "[S2]"}
    assert 0.15 < sum(script.language == "de" for script in scripts) / len(scripts) < 0.25


def test_lines_are_cut_at_commas_and_never_within_a_name(make_corpus: ModuleType) -> None:
    pieces = import_module("sentences").pieces
    line = (
        "In the year of the great frost, which nobody had foreseen, Mr. Brown sold his house "
        'and his boat, and the cart with both of the horses; "he kept the dog (an old one)."'
    )
    assert list(pieces(line)) == [
        "In the year of the great frost, which nobody had foreseen.",
        "Mr. Brown sold his house and his boat, and the cart with both of the horses.",
    ]


def test_the_same_seed_gives_the_same_corpus(make_corpus: ModuleType) -> None:
    sentences = make_corpus.training_sentences(LINES, [])
    first, second = (
        list(islice(make_corpus.plan(sentences, random.Random(7), set()), 50)) for _ in range(2)
    )
    assert first == second
