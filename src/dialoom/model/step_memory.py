"""What the rows of a decoding batch have read and said so far.

Shapes: R rows = B conditional ones, then, with guidance, the unconditional ones of the first U.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dialoom.model.attention import KeyValues

WINDOW_STEP = 256
"""With fixed shapes attention reads the past in multiples of this: one graph for each."""


@dataclass(frozen=True)
class Opening:
    """What a request's rows know before their first new step, per layer.

    Attributes:
        past: keys, then values, of the steps before the last given one: of the conditional row
            and, with guidance, of the unconditional one.
        text: keys and values of the text.
    """

    past: list[Float[Tensor, "rows kv P E"]]
    text: list[KeyValues]

    @property
    def num_steps(self) -> int:
        return self.past[0].shape[2]

    @property
    def is_guided(self) -> bool:
        return self.past[0].shape[0] == 2


@dataclass(frozen=True)
class TextGroup:
    """Neighbouring rows whose texts are attended to at once.

    Attributes:
        rows: which of the conditional rows.
        text: keys and values per layer.
        mask: where texts of different length are padded to one.
    """

    rows: slice
    text: list[KeyValues]
    mask: Bool[Tensor, "rows 1 1 S"] | None


@dataclass(frozen=True)
class Span:
    """Neighbouring rows that have got equally far: `end` steps, this one included."""

    rows: slice
    end: int


@dataclass(frozen=True)
class PastSteps:
    """Keys and values of one layer, in buffers of the full length.

    Attributes:
        both: keys, then values.
        keys: a view.
        values: a view.
    """

    both: Float[Tensor, "R kv T E"]
    keys: Float[Tensor, "R G T E"] = field(init=False)
    values: Float[Tensor, "R G T E"] = field(init=False)

    def __post_init__(self) -> None:
        keys, values = self.both.chunk(2, dim=1)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "values", values)

    def append(
        self, new: Float[Tensor, "R kv E"], positions: Int[Tensor, " R"], *, at_once: bool
    ) -> None:
        """Writes a step's keys and values at the position of each row, which may be all one."""
        if at_once:
            self.both.index_copy_(2, positions[:1], new[:, :, None])
        else:
            rows = torch.arange(self.both.shape[0], device=self.both.device)
            self.both[rows, :, positions] = new


@dataclass(frozen=True)
class StepMemory:
    """Past and text of all rows.

    Attributes:
        openings: where each conditional row began; guided ones come first.
        past: per layer.
        texts: what the conditional rows attend to.
        starts: position of each row at step 0.
        fixed_shapes: a step's shapes change once in WINDOW_STEP steps only, for a recorded graph;
            otherwise attention reads exactly the used part, and no row another one's padding.
    """

    openings: list[Opening]
    past: list[PastSteps]
    texts: list[TextGroup]
    starts: Int[Tensor, " R"]
    fixed_shapes: bool

    @classmethod
    def assemble(
        cls, openings: Sequence[Opening], num_steps: int, *, fixed_shapes: bool
    ) -> "StepMemory":
        """Room for that many new steps of every row."""
        guided = [opening for opening in openings if opening.is_guided]
        assert all(opening.is_guided for opening in openings[: len(guided)])
        rows = [(opening, 0) for opening in openings] + [(opening, 1) for opening in guided]
        starts = [opening.num_steps for opening, _ in rows]
        past = []
        for number, like in enumerate(openings[0].past):
            shape = (len(rows), like.shape[1], max(starts) + num_steps, like.shape[3])
            buffer = like.new_zeros(shape)  # a masked place must hold a number: 0 · NaN is NaN
            for row, (opening, half) in enumerate(rows):
                buffer[row, :, : opening.num_steps] = opening.past[number][half]
            past.append(PastSteps(buffer))
        return cls(
            openings=list(openings),
            past=past,
            texts=_group_texts(openings, at_once=fixed_shapes),
            starts=torch.tensor(starts, device=past[0].both.device),
            fixed_shapes=fixed_shapes,
        )

    @property
    def num_unconditional(self) -> int:
        return self.past[0].both.shape[0] - len(self.openings)

    def spans(self, step: int) -> list[Span]:
        """What of the past each row attends to at that step."""
        guided = [opening for opening in self.openings if opening.is_guided]
        ends = [opening.num_steps + step + 1 for opening in (*self.openings, *guided)]
        if not self.fixed_shapes:
            return [Span(rows, ends[rows.start]) for rows in _runs(ends)]
        window = -(-max(ends) // WINDOW_STEP) * WINDOW_STEP
        return [Span(slice(0, len(ends)), min(window, self.past[0].both.shape[2]))]

    def keep(self, rows: Sequence[int]) -> "StepMemory":
        """Only these conditional rows, and what belongs to them."""
        num_guided = sum(opening.is_guided for opening in self.openings)
        unconditional = [len(self.openings) + row for row in rows if row < num_guided]
        kept = torch.tensor([*rows, *unconditional], device=self.starts.device)
        openings = [self.openings[row] for row in rows]
        return replace(
            self,
            openings=openings,
            past=[PastSteps(past.both.index_select(0, kept)) for past in self.past],
            texts=_group_texts(openings, at_once=self.fixed_shapes),
            starts=self.starts.index_select(0, kept),
        )


def _runs(values: Sequence[int]) -> list[slice]:
    """Maximal slices of equal neighbours."""
    edges = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
    return [slice(a, b) for a, b in zip(edges, [*edges[1:], len(values)], strict=True)]


def _group_texts(openings: Sequence[Opening], *, at_once: bool) -> list[TextGroup]:
    """A group for each run of equal lengths, or one for all rows."""
    lengths = [opening.text[0].keys.shape[2] for opening in openings]
    if not at_once or len(set(lengths)) == 1:
        return [TextGroup(rows, _stack_texts(openings[rows]), None) for rows in _runs(lengths)]
    device = openings[0].text[0].keys.device
    places = torch.arange(max(lengths), device=device)
    mask = (places < torch.tensor(lengths, device=device)[:, None])[:, None, None]
    return [TextGroup(slice(0, len(openings)), _stack_texts(openings), mask)]


def _stack_texts(openings: Sequence[Opening]) -> list[KeyValues]:
    """Per layer, the texts of these rows, padded to the longest."""
    length = max(opening.text[0].keys.shape[2] for opening in openings)

    def stack(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([F.pad(one, (0, 0, 0, length - one.shape[2])) for one in tensors])

    return [
        KeyValues(stack([text.keys for text in layer]), stack([text.values for text in layer]))
        for layer in zip(*(opening.text for opening in openings), strict=True)
    ]
