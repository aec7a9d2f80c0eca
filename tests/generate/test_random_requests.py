"""The first sixty requests of benchmarks/generate_random.py."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_sixty_random_requests_give_audio_or_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("generate_random", None)
    import generate_random

    synthesizer, draw = generate_random.tiny_synthesizer(), random.Random(0)
    ends = Counter(generate_random.ask(synthesizer, draw) for _ in range(60))
    assert ends["audio"] >= 10
    assert ends["GenerationError"] >= 5
    assert ends["TextError"] >= 3
