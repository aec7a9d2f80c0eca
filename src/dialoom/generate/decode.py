"""The decoding loop: texts and voice prompts → codes, step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from dialoom.errors import GenerationError
from dialoom.generate.graph import GraphedCalls
from dialoom.generate.noise import Noise
from dialoom.generate.request import UNFILLED, Generated, Request, Row
from dialoom.generate.sampling import choose_ids, num_kept
from dialoom.generate.settings import SamplingSettings
from dialoom.model import DiaModel
from dialoom.model.step_decoder import StepDecoder
from dialoom.model.step_memory import Opening, Span, StepMemory
from dialoom.sequence import TokenLayout

__all__ = ["Decoding", "Generated", "Request", "generate_codes"]

POLL_STEPS = 16
"""How often the host asks a GPU who has ended; a CPU is asked after every step."""


@torch.inference_mode()
def generate_codes(
    model: DiaModel,
    requests: Sequence[Request],
    settings: SamplingSettings,
    *,
    max_frames: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
    decoder: StepDecoder | None = None,
) -> list[Generated]:
    """Speaks all requests in one batch; a row's codes do not depend on the other rows.

    Args:
        model: in evaluation mode, on the device to compute on.
        requests: at least one; each with its own seed and, if it likes, settings and limit.
        settings: of the requests that have none.
        max_frames: of new speech per row; None for what the model's positions allow.
        on_step: called with (steps done, steps at most).
        decoder: the model's weights arranged before, which saves doing it again.

    Raises:
        GenerationError: a text or a prompt does not fit the model, or its logits are no numbers.
    """
    decoding = Decoding(decoder or StepDecoder(model), requests, settings, max_frames=max_frames)
    while not decoding.is_done:
        decoding.advance()
        if on_step is not None:
            on_step(decoding.num_steps, decoding.max_steps)
    return decoding.results


@dataclass(frozen=True)
class _Draw:
    """Neighbouring rows that draw by the same settings; without noise at temperature 0."""

    rows: slice
    settings: SamplingSettings
    noise: Noise | None


class Decoding:
    """A batch on its way: `advance` until `is_done`.

    `frames` tells what a request has come to so far, for whoever listens along.
    """

    @torch.inference_mode()
    def __init__(
        self,
        decoder: StepDecoder,
        requests: Sequence[Request],
        settings: SamplingSettings,
        *,
        max_frames: int | None = None,
        fixed_shapes: bool | None = None,
    ) -> None:
        """Reads the texts and prompts.

        Args:
            decoder: of the model.
            requests: at least one.
            settings: of the requests that have none.
            max_frames: of new speech, for the requests that do not say it.
            fixed_shapes: as a recorded step needs them; None for the device's choice.

        Raises:
            GenerationError: a text or a prompt does not fit the model.
        """
        assert requests, "nothing to say"
        self._decoder, self._layout = decoder, decoder.config.layout
        device = decoder.device
        self._fixed = device.type != "cpu" if fixed_shapes is None else fixed_shapes
        rows = [
            Row.plan(index, request, decoder.config, settings=settings, max_frames=max_frames)
            for index, request in enumerate(requests)
        ]
        self._rows = sorted(rows, key=_neighbourhood)
        self._finished: dict[int, Generated] = {}
        self.max_steps = max(row.slots.shape[0] for row in rows)
        self._memory = StepMemory.assemble(
            _open_all(decoder, self._rows), self.max_steps, fixed_shapes=self._fixed
        )
        self._draws = _group_draws(self._rows, self._layout, device)
        self._step, self._step_1 = 0, torch.zeros(1, dtype=torch.long, device=device)
        self._canvas_BLC = _canvas(self._rows, self.max_steps).to(device)
        self._ends_B = torch.tensor([row.end for row in self._rows], device=device)
        self._stopped_B = torch.zeros_like(self._ends_B, dtype=torch.bool)
        self._delay_C = torch.tensor(self._layout.delay_pattern, device=device)
        self._checksum = torch.zeros((), device=device)
        self._calls = GraphedCalls(device)

    @property
    def is_done(self) -> bool:
        return not self._rows

    @property
    def num_steps(self) -> int:
        """Steps that are known by now, the given one that began it included."""
        return self._step + 1

    @property
    def results(self) -> list[Generated]:
        """Of all requests, in their order, when all is done."""
        assert self.is_done, "not all rows have ended"
        return [self._finished[index] for index in sorted(self._finished)]

    def finished(self, index: int) -> Generated | None:
        """What came of a request; None while it is on its way."""
        return self._finished.get(index)

    @torch.inference_mode()
    def frames(self, index: int) -> Int[Tensor, "F C"]:
        """Codes of the frames that a request has come to so far, without its prompt."""
        if index in self._finished:
            return self._finished[index].codes
        place = next(i for i, row in enumerate(self._rows) if row.index == index)
        return self._rows[place].codes(self._canvas_BLC[place], self._layout)

    @torch.inference_mode()
    def advance(self) -> None:
        """One step of all rows; those that have ended leave.

        Raises:
            GenerationError: the model's logits are no numbers.
        """
        for draw in self._draws:
            if draw.noise is not None:
                draw.noise.prepare(self._step)
        spans = self._memory.spans(self._step)
        self._calls(spans[0].end, lambda: self._advance_on_device(spans))
        self._step += 1
        is_last = self.num_steps == self.max_steps
        if is_last or not self._fixed or self._step % POLL_STEPS == 0:
            self._release()

    def _advance_on_device(self, spans: Sequence[Span]) -> None:
        """All that a step computes; asks the host nothing, so that a graph can hold it."""
        tokens_BC = self._canvas_BLC.index_select(1, self._step_1).squeeze(1)
        tokens_RC = torch.cat((tokens_BC, tokens_BC[: self._memory.num_unconditional]))
        logits_RCV = self._decoder.step(tokens_RC, self._memory, self._step_1, spans)
        self._checksum += logits_RCV.sum()
        conditional_BCV = logits_RCV[: len(self._rows)]
        unconditional_UCV = logits_RCV[len(self._rows) :]
        ids = [
            choose_ids(
                conditional_BCV[draw.rows],
                unconditional_UCV[draw.rows] if draw.settings.cfg_scale else None,
                draw.settings,
                self._layout,
                None if draw.noise is None else draw.noise.at(self._step_1),
            )
            for draw in self._draws
        ]
        self._step_1 += 1
        self._write(torch.cat(ids))

    def _write(self, ids_BC: Int[Tensor, "B C"]) -> None:
        """The next slot, after prompt, BOS, staggered EOS and PAD had their say.

        Channel c ends delay[c] steps after channel 0 did: EOS there, PAD afterwards.
        """
        layout = self._layout
        forced_BC = self._canvas_BLC.index_select(1, self._step_1).squeeze(1)
        ids_BC = torch.where(forced_BC == UNFILLED, ids_BC, forced_BC)
        stops_B = (ids_BC[:, 0] == layout.eos_id) & (self._step_1 < self._ends_B)
        self._stopped_B |= stops_B
        self._ends_B.copy_(torch.where(stops_B, self._step_1, self._ends_B))
        since_end_BC = self._step_1 - self._ends_B[:, None] - self._delay_C
        ids_BC = ids_BC.masked_fill(since_end_BC == 0, layout.eos_id)
        ids_BC = ids_BC.masked_fill(since_end_BC > 0, layout.pad_id)
        self._canvas_BLC.index_copy_(1, self._step_1, ids_BC[:, None])

    def _release(self) -> None:
        """Keeps what ended rows said and, where it pays, goes on without them."""
        lasts = [end + self._layout.max_delay for end in self._ends_B.tolist()]
        ended = [place for place, last in enumerate(lasts) if self._step >= last]
        if ended or self._step % POLL_STEPS == 0:
            self._refuse_broken_logits()
        for place in ended:
            row = self._rows[place]
            if row.index not in self._finished:
                codes = row.codes(self._canvas_BLC[place], self._layout)
                self._finished[row.index] = Generated(codes, bool(self._stopped_B[place]))
        going = [place for place in range(len(self._rows)) if place not in ended]
        # Other shapes need another graph, so there rows leave by halves.
        if not going or (ended and (not self._fixed or 2 * len(going) <= len(self._rows))):
            self._keep(going)

    def _refuse_broken_logits(self) -> None:
        if not torch.isfinite(self._checksum):
            raise GenerationError(
                f"the model's logits are no numbers in {str(self._decoder.dtype)[6:]}: its weights "
                "are broken, or too large for this precision; try bfloat16 or float32"
            )

    def _keep(self, places: list[int]) -> None:
        self._rows = [self._rows[place] for place in places]
        if not places:
            return
        kept = torch.tensor(places, device=self._canvas_BLC.device)
        self._memory = self._memory.keep(places)
        self._draws = _keep_draws(self._draws, places)
        self._canvas_BLC = self._canvas_BLC.index_select(0, kept)
        self._ends_B = self._ends_B.index_select(0, kept)
        self._stopped_B = self._stopped_B.index_select(0, kept)
        self._calls.forget()


def _kind(settings: SamplingSettings) -> tuple[float, ...]:
    """What rows must have in common to be drawn at once."""
    return (settings.cfg_scale, settings.temperature, settings.top_p, settings.top_k)


def _neighbourhood(row: Row) -> tuple[object, ...]:
    """Guided rows first; beside each other those that are drawn, or attend, alike."""
    is_unguided = row.settings.cfg_scale == 0
    return is_unguided, _kind(row.settings), row.given.shape[0], len(row.request.text_ids)


def _open_all(decoder: StepDecoder, rows: Sequence[Row]) -> list[Opening]:
    """Each row's opening; several takes of one text and prompt share theirs."""
    openings: dict[tuple[object, ...], Opening] = {}
    keys = []
    for row in rows:
        text_ids, is_guided = tuple(row.request.text_ids), row.settings.cfg_scale > 0
        keys.append((text_ids, id(row.request.prompt), is_guided))
        if keys[-1] not in openings:
            openings[keys[-1]] = decoder.open(text_ids, row.given, is_guided=is_guided)
    return [openings[key] for key in keys]


def _canvas(rows: Sequence[Row], num_slots: int) -> Int[Tensor, "B L C"]:
    """The rows' slots, filled up to one length; nothing is known of what is added."""
    return torch.stack(
        [F.pad(row.slots, (0, 0, 0, num_slots - len(row.slots)), value=UNFILLED) for row in rows]
    )


def _group_draws(rows: Sequence[Row], layout: TokenLayout, device: torch.device) -> list[_Draw]:
    draws = []
    start = 0
    for _, group in groupby(rows, key=lambda row: _kind(row.settings)):
        members = list(group)
        settings = members[0].settings
        noise = None
        if settings.temperature > 0:
            seeds = [row.request.seed for row in members]
            noise = Noise(seeds, layout.num_channels, num_kept(settings, layout), device)
        draws.append(_Draw(slice(start, start + len(members)), settings, noise))
        start += len(members)
    return draws


def _keep_draws(draws: Sequence[_Draw], places: Sequence[int]) -> list[_Draw]:
    """Only the rows at these places, which then lie without gaps."""
    kept = []
    start = 0
    for draw in draws:
        rows = [place - draw.rows.start for place in places if _holds(draw.rows, place)]
        if rows:
            noise = None if draw.noise is None else draw.noise.keep(rows)
            kept.append(_Draw(slice(start, start + len(rows)), draw.settings, noise))
            start += len(rows)
    return kept


def _holds(rows: slice, place: int) -> bool:
    return bool(rows.start <= place < rows.stop)
