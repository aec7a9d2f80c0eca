"""What is asked for, what comes of it, and how a request becomes a row of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from dialoom.errors import GenerationError
from dialoom.generate.settings import SamplingSettings
from dialoom.model import DiaConfig
from dialoom.sequence import TokenLayout, delay_codes, undelay_codes

UNFILLED = -1
"""Where nothing is known yet."""


@dataclass(frozen=True)
class Request:
    """One thing to say.

    Attributes:
        text_ids: bytes of the whole script, the prompt's transcript in front.
        prompt: (P, C) codes of the voice prompt that the speech continues; None for no prompt.
        seed: of this row's draws.
        settings: in place of those of the batch; its seed and limit count for nothing here.
        max_frames: of new speech, in place of the batch's.
    """

    text_ids: Sequence[int]
    prompt: Int[Tensor, "P C"] | None = None
    seed: int = 0
    settings: SamplingSettings | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class Generated:
    """What came of a request.

    Attributes:
        codes: (F, C) of the new speech, without the prompt.
        stopped: the model ended by itself; False where the limit ended it.
    """

    codes: Int[Tensor, "F C"]
    stopped: bool


@dataclass(frozen=True)
class Row:
    """A request in decoder steps. Slot 0 is the last step that is given on all channels.

    Attributes:
        index: of the request.
        request: itself.
        settings: how to draw.
        given: (P, C) BOS and the prompt's steps, known on all channels.
        slots: (L, C) of the canvas: what is known of them, UNFILLED elsewhere.
        end: the slot where channel 0 is made to end.
    """

    index: int
    request: Request
    settings: SamplingSettings
    given: Int[Tensor, "P C"]
    slots: Int[Tensor, "L C"]
    end: int

    @classmethod
    def plan(
        cls,
        index: int,
        request: Request,
        config: DiaConfig,
        *,
        settings: SamplingSettings,
        max_frames: int | None,
    ) -> "Row":
        """The row of a request, under the batch's settings and limit unless it has its own.

        Raises:
            GenerationError: its text or its prompt does not fit the model.
        """
        if request.max_frames is not None:
            max_frames = request.max_frames
        end = _frame_limit(config, request, max_frames) + 1  # EOS follows the last frame
        steps_TC = _forced_steps(request, end + config.layout.max_delay + 1, config.layout)
        num_given = 1 if request.prompt is None else 1 + int(request.prompt.shape[0])
        return cls(
            index=index,
            request=request,
            settings=request.settings or settings,
            given=steps_TC[:num_given],
            slots=steps_TC[num_given - 1 :],
            end=end - (num_given - 1),
        )

    def codes(self, canvas_LC: Int[Tensor, "L C"], layout: TokenLayout) -> Int[Tensor, "F C"]:
        """The frames of new speech that the canvas holds on all channels."""
        slots = canvas_LC[: self.slots.shape[0]].cpu()
        steps_TC = torch.cat((self.given[:-1], slots))
        known_TC = steps_TC.masked_fill(steps_TC == UNFILLED, layout.pad_id)
        return undelay_codes(known_TC, layout)[self.given.shape[0] - 1 :]


def _forced_steps(request: Request, num_steps: int, layout: TokenLayout) -> Int[Tensor, "T C"]:
    """BOS and the prompt at their delayed places, all else unfilled."""
    steps_TC = torch.full((num_steps, layout.num_channels), UNFILLED, dtype=torch.long)
    prompt = request.prompt
    if prompt is None:
        prompt = torch.empty(0, layout.num_channels, dtype=torch.long)
    delayed_TC = delay_codes(prompt.long().cpu(), layout, complete=False)
    known_TC = delayed_TC.masked_fill(delayed_TC == layout.pad_id, UNFILLED)[:num_steps]
    steps_TC[: known_TC.shape[0]] = known_TC
    return steps_TC


def room_behind(prompt_frames: int, config: DiaConfig) -> int:
    """Frames that the model holds, the prompt's included.

    Raises:
        GenerationError: the prompt takes them all.
    """
    possible = config.decoder.max_position_embeddings - config.layout.max_delay - 2
    if prompt_frames >= possible:
        raise GenerationError(
            f"the voice prompt has {prompt_frames} frames, the model has room for {possible} with "
            "speech behind it: use a shorter clip, 5 to 10 s are good"
        )
    return possible


def _frame_limit(config: DiaConfig, request: Request, max_frames: int | None) -> int:
    """Frames, the prompt's included, after which EOS is forced."""
    max_bytes = config.encoder.max_position_embeddings
    if not 0 < len(request.text_ids) <= max_bytes:
        raise GenerationError(
            f"the text has {len(request.text_ids)} bytes, this model reads 1 to {max_bytes}: "
            "split it into parts"
        )
    if request.prompt is not None and request.prompt.shape[1] != config.layout.num_channels:
        raise GenerationError(
            f"the voice prompt has {request.prompt.shape[1]} codebooks, the model "
            f"{config.layout.num_channels}: encode it with the model's codec"
        )
    if max_frames is not None and max_frames < 1:
        raise GenerationError(f"max_frames is {max_frames}: it must be 1 or more")
    prompt_frames = 0 if request.prompt is None else int(request.prompt.shape[0])
    possible = room_behind(prompt_frames, config)
    return possible if max_frames is None else min(possible, prompt_frames + max_frames)
