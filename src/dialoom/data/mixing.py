"""Several corpora trained on together, each with its share of the speech.

A weight is a share of the time that a model listens: of corpora weighted 3 and 1, three quarters of
the seconds that it hears are of the first. An epoch has as much speech as all corpora together. So
a corpus with less than its share is heard more than once in an epoch, one with more only in part;
without weights every clip is heard exactly once.

Every corpus is a stream of passes over its clips, each in an order of its own, and an epoch takes
the next stretch of it. So at any moment of a run all clips of a corpus have been heard equally
often, give or take one; in a single epoch the share holds as exactly as the clips it drew are of
average length. What an epoch has is a pure function of seed and epoch.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from dialoom.codec.base import CodecSpec
from dialoom.data.clip import Clip
from dialoom.data.corpus import Corpus, refuse_other_codec
from dialoom.data.dataset import Clips, DiaDataset
from dialoom.errors import DataError

_PASS, _PLACE = 1, 2
"""Keep the random numbers of a pass apart from those of an epoch."""


class Mixture:
    """The corpora of a run: one, or several with their weights.

    Attributes:
        corpora: all of one codec.
        weights: shares of the speech, in any unit; None where each clip is heard once an epoch.
    """

    def __init__(self, corpora: Sequence[Corpus], weights: Sequence[float] | None = None) -> None:
        """Takes corpora that are open.

        Raises:
            DataError: they are of different codecs.
        """
        assert corpora and (weights is None or len(weights) == len(corpora))
        self.corpora = tuple(corpora)
        self.weights = None if weights is None else tuple(weights)
        for corpus in self.corpora[1:]:
            _refuse_second_codec(corpus, self.corpora[0])

    @classmethod
    def open(cls, shares: Sequence[tuple[str | Path, float | None]]) -> "Mixture":
        """Opens the corpora at these places, with their weights: all of them, or none.

        Raises:
            DataError: as `Corpus.open`, or they are of different codecs.
        """
        weights = [weight for _, weight in shares if weight is not None]
        return cls([Corpus.open(path) for path, _ in shares], weights or None)

    @property
    def codec(self) -> CodecSpec:
        return self.corpora[0].info.codec

    @property
    def name(self) -> str:
        """Where they are, for messages."""
        return ", ".join(str(corpus.path) for corpus in self.corpora)

    @property
    def hours(self) -> float:
        """Of all of them together, each once."""
        return sum(corpus.info.hours for corpus in self.corpora)

    @property
    def languages(self) -> tuple[str, ...]:
        """Of all of them, sorted."""
        return tuple(sorted({name for corpus in self.corpora for name in corpus.info.languages}))

    @cached_property
    def fingerprint(self) -> str:
        """Equal for what trains alike; of a single corpus, that of the corpus."""
        if len(self.corpora) == 1:
            return self.corpora[0].fingerprint
        parts = [[corpus.fingerprint for corpus in self.corpora], self.weights]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def dataset(self, **limits: Any) -> "DiaDataset | MixedDataset":
        """The clips of a split; takes what `DiaDataset` takes after the corpus.

        Raises:
            DataError: a corpus has no clip left and must have one.
        """
        datasets = [DiaDataset(corpus, **limits) for corpus in self.corpora]
        if len(datasets) == 1:
            return datasets[0]
        return MixedDataset(datasets, self.weights, self._labels())

    def _labels(self) -> list[str]:
        """The directories' names, numbered where two are equal."""
        names = [corpus.path.name for corpus in self.corpora]
        if len(set(names)) == len(names):
            return names
        return [f"{number}-{name}" for number, name in enumerate(names, start=1)]


def _refuse_second_codec(corpus: Corpus, first: Corpus) -> None:
    try:
        refuse_other_codec(corpus.path, found=corpus.info.codec, expected=first.info.codec)
    except DataError as error:
        raise DataError(
            f"corpora that are trained together need one codec, that of {first.path}: {error}"
        ) from None


class MixedDataset:
    """One split of several corpora, as `DiaDataset` is of one.

    A clip's id is led by the name of its corpus: two corpora may use the same ids.

    Attributes:
        lengths: frames of each clip, corpus after corpus.
        num_left_out: clips of the split that are beyond a limit.
        parts: where the clips of each corpus are.
        weights: as of `Mixture`.
    """

    def __init__(
        self,
        datasets: Sequence[DiaDataset],
        weights: Sequence[float] | None,
        labels: Sequence[str],
    ) -> None:
        self._datasets = tuple(datasets)
        self._labels = tuple(labels)
        self._first = np.cumsum([0, *map(len, datasets)])
        self.lengths = [length for dataset in datasets for length in dataset.lengths]
        self.num_left_out = sum(dataset.num_left_out for dataset in datasets)
        self.parts = tuple(
            range(int(first), int(first) + len(dataset))
            for first, dataset in zip(self._first[:-1], datasets, strict=True)
        )
        self.weights = None if weights is None else tuple(weights)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        part = int(np.searchsorted(self._first, index, side="right")) - 1
        clip = self._datasets[part][index - int(self._first[part])]
        return replace(clip, id=f"{self._labels[part]}/{clip.id}")

    @property
    def languages(self) -> list[str]:
        """Languages of the clips, sorted; clips that name none count for nothing."""
        return sorted({name for dataset in self._datasets for name in dataset.languages})


class MixedOrder:
    """Which clips an epoch has and in which order: a pure function of seed and epoch."""

    def __init__(self, dataset: MixedDataset, *, seed: int) -> None:
        """Takes the clips, of which every corpus has some."""
        assert all(dataset.parts), dataset.parts
        self._parts = dataset.parts
        self._seed = seed
        self._clips_per_epoch = _clips_per_epoch(dataset)

    def __call__(self, epoch: int) -> Int64[np.ndarray, " num_drawn"]:
        """The clips of one epoch; those of each corpus are spread evenly over it."""
        rng = np.random.default_rng([self._seed, _PLACE, epoch])
        drawn = [self._draw(number, epoch) for number in range(len(self._parts))]
        places = [(np.arange(len(d)) + rng.random(len(d))) / max(1, len(d)) for d in drawn]
        return np.concatenate(drawn)[np.argsort(np.concatenate(places), kind="stable")]

    def _draw(self, number: int, epoch: int) -> Int64[np.ndarray, " num_drawn"]:
        """The stretch of a corpus's stream that belongs to an epoch."""
        part, count = self._parts[number], self._clips_per_epoch[number]
        first, last = math.floor(epoch * count), math.floor((epoch + 1) * count)
        first_pass, size = first // len(part), len(part)
        passes = [
            np.random.default_rng([self._seed, _PASS, number, i]).permutation(size)
            for i in range(first_pass, -(-last // size))
        ]
        stream = np.concatenate([np.empty(0, np.int64), *passes])
        return part.start + stream[first - first_pass * size : last - first_pass * size]


def _clips_per_epoch(dataset: MixedDataset) -> list[Fraction]:
    """Of each corpus; fractions, so that shares as large as the corpora are give each clip once."""
    if dataset.weights is None:
        return [Fraction(len(part)) for part in dataset.parts]
    weights = [Fraction(str(weight)) for weight in dataset.weights]
    frames = [sum(dataset.lengths[part.start : part.stop]) for part in dataset.parts]
    return [
        weight / sum(weights) * sum(frames) * len(part) / own
        for weight, part, own in zip(weights, dataset.parts, frames, strict=True)
    ]


def order_of(dataset: Clips, *, seed: int) -> MixedOrder | None:
    """The order that a sampler takes; None for the clips of one corpus, each once an epoch."""
    return MixedOrder(dataset, seed=seed) if isinstance(dataset, MixedDataset) else None


def choose_evenly(dataset: Clips, count: int) -> list[int]:
    """At most `count` clips of all lengths; of several corpora in their shares, one of each first.

    Without weights a corpus's share is that of its clips. The seats go by Adams's divisors.
    """
    mixed = dataset if isinstance(dataset, MixedDataset) else None
    parts = mixed.parts if mixed else (range(len(dataset)),)
    shares = (mixed and mixed.weights) or [len(part) for part in parts]
    quotas = [0] * len(parts)
    for _ in range(min(count, len(dataset))):
        open_parts = [i for i, part in enumerate(parts) if quotas[i] < len(part)]
        quotas[max(open_parts, key=lambda i: shares[i] / quotas[i] if quotas[i] else math.inf)] += 1
    chosen: list[int] = []
    for part, quota in zip(parts, quotas, strict=True):
        by_length = sorted(part, key=lambda index: dataset.lengths[index])
        chosen += [by_length[i * len(by_length) // quota] for i in range(quota)]
    return chosen
