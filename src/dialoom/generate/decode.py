"""The decoding loop: texts and voice prompts → codes, step by step, with a key/value cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dialoom.errors import GenerationError
from dialoom.generate.sampling import choose_ids
from dialoom.generate.settings import SamplingSettings
from dialoom.model import DiaModel
from dialoom.model.decoder import DecoderCache
from dialoom.sequence import TokenLayout, delay_codes, undelay_codes
from dialoom.text import PAD_BYTE

_UNFILLED = -1


@dataclass(frozen=True)
class Request:
    """One thing to say.

    Attributes:
        text_ids: bytes of the whole script, the prompt's transcript in front.
        prompt: (P, C) codes of the voice prompt that the speech continues; None for no prompt.
        seed: of this row's draws.
    """

    text_ids: Sequence[int]
    prompt: Int[Tensor, "P C"] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Generated:
    """What came of a request.

    Attributes:
        codes: (F, C) of the new speech, without the prompt.
        stopped: the model ended by itself; False where the limit ended it.
    """

    codes: Int[Tensor, "F C"]
    stopped: bool


@torch.inference_mode()
def generate_codes(
    model: DiaModel,
    requests: Sequence[Request],
    settings: SamplingSettings,
    *,
    max_frames: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Generated]:
    """Speaks all requests in one batch; a row's codes do not depend on the other rows.

    Args:
        model: in evaluation mode, on the device to compute on.
        requests: at least one.
        settings: shared by all rows; each row has its own seed.
        max_frames: of new speech per row; None for what the model's positions allow.
        on_step: called with (steps done, steps at most).

    Raises:
        GenerationError: a text or a prompt does not fit the model.
    """
    device = model.logits_dense.weight.device
    layout = model.config.layout
    limits = [_frame_limit(model, request, max_frames) for request in requests]
    ends_B = torch.tensor([limit + 1 for limit in limits], device=device)  # EOS is forced there
    steps_BTC = _forced_steps(requests, int(ends_B.max()) + layout.max_delay + 1, layout, device)
    stopped_B = _decode(model, requests, settings, (steps_BTC, ends_B), on_step)
    results = []
    for row, request in enumerate(requests):
        codes = undelay_codes(steps_BTC[row], layout)
        start = 0 if request.prompt is None else request.prompt.shape[0]
        results.append(Generated(codes[start:].cpu(), bool(stopped_B[row])))
    return results


def _decode(
    model: DiaModel,
    requests: Sequence[Request],
    settings: SamplingSettings,
    canvas: tuple[Int[Tensor, "B T C"], Int[Tensor, " B"]],
    on_step: Callable[[int, int], None] | None,
) -> Bool[Tensor, " B"]:
    """Fills the canvas in place and says which rows ended by themselves."""
    steps_BTC, ends_B = canvas
    layout = model.config.layout
    delay_C = torch.tensor(layout.delay_pattern, device=steps_BTC.device)
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    guided = settings.cfg_scale > 0
    num_steps = steps_BTC.shape[1]
    cache = _encode_texts(model, requests, guided=guided, num_steps=num_steps)
    stopped_B = torch.zeros_like(ends_B, dtype=torch.bool)
    prefixes = [_known_steps(request) for request in requests]
    start, filled = 0, min(prefixes)  # steps 0 … filled - 1 need no prediction
    while filled < num_steps:
        tokens = steps_BTC[:, start:filled]
        hidden = model.decoder.decode(tokens.repeat(2, 1, 1) if guided else tokens, cache)
        logits_BCV = model.head(hidden[:, -1:])[:, 0]
        conditional, unconditional = logits_BCV.chunk(2) if guided else (logits_BCV, None)
        drawing = [
            g if filled >= own else None for g, own in zip(generators, prefixes, strict=True)
        ]
        ids_BC = choose_ids(conditional, unconditional, settings, layout, drawing)
        steps_BTC[:, filled], stops_B = _next_step(
            ids_BC, steps_BTC[:, filled], filled, (ends_B, delay_C), layout
        )
        stopped_B |= stops_B
        ends_B[stops_B] = filled
        start, filled = filled, filled + 1
        if on_step is not None:
            on_step(filled, num_steps)
        if filled > int(ends_B.max()) + layout.max_delay:
            break
    steps_BTC[steps_BTC == _UNFILLED] = layout.pad_id
    return stopped_B


def _next_step(
    ids_BC: Int[Tensor, "B C"],
    forced_BC: Int[Tensor, "B C"],
    step: int,
    ends_delays: tuple[Int[Tensor, " B"], Int[Tensor, " C"]],
    layout: TokenLayout,
) -> tuple[Int[Tensor, "B C"], Bool[Tensor, " B"]]:
    """The ids of a step after prompt, BOS, staggered EOS and PAD had their say; who ends just here.

    Channel c ends delay[c] steps after channel 0 did: EOS there, PAD afterwards.
    """
    ends_B, delay_C = ends_delays
    ids_BC = torch.where(forced_BC == _UNFILLED, ids_BC, forced_BC)
    stops_B = (ids_BC[:, 0] == layout.eos_id) & (step < ends_B)
    ends_B = ends_B.masked_fill(stops_B, step)
    since_end_BC = step - ends_B[:, None] - delay_C
    ids_BC = ids_BC.masked_fill(since_end_BC == 0, layout.eos_id)
    return ids_BC.masked_fill(since_end_BC > 0, layout.pad_id), stops_B


def _forced_steps(
    requests: Sequence[Request], num_steps: int, layout: TokenLayout, device: torch.device
) -> Int[Tensor, "B T C"]:
    """(B, T, C) with BOS and the prompts at their delayed places, all else unfilled."""
    steps_BTC = torch.full(
        (len(requests), num_steps, layout.num_channels), _UNFILLED, dtype=torch.long
    )
    for row, request in enumerate(requests):
        prompt = request.prompt
        if prompt is None:
            prompt = torch.empty(0, layout.num_channels, dtype=torch.long)
        delayed_TC = delay_codes(prompt.long().cpu(), layout, complete=False)
        known = delayed_TC.masked_fill(delayed_TC == layout.pad_id, _UNFILLED)[:num_steps]
        steps_BTC[row, : known.shape[0]] = known
    return steps_BTC.to(device)


def _known_steps(request: Request) -> int:
    """How many steps are given on all channels: BOS and one for each frame of the prompt."""
    return 1 if request.prompt is None else 1 + int(request.prompt.shape[0])


def _encode_texts(
    model: DiaModel, requests: Sequence[Request], *, guided: bool, num_steps: int
) -> DecoderCache:
    """A cache over the texts; with guidance, a second half over zero bytes under the same masks."""
    device = model.logits_dense.weight.device
    lengths = torch.tensor([len(request.text_ids) for request in requests])
    text_BS = torch.full((len(requests), int(lengths.max())), PAD_BYTE, dtype=torch.long)
    for row, request in enumerate(requests):
        text_BS[row, : lengths[row]] = torch.tensor(request.text_ids)
    mask_BS = torch.arange(text_BS.shape[1])[None] < lengths[:, None]
    if guided:
        text_BS = torch.cat((text_BS, torch.zeros_like(text_BS)))
        mask_BS = mask_BS.repeat(2, 1)
    needed_mask = None if bool(mask_BS.all()) else mask_BS.to(device)
    encoder_BSD = model.encoder(text_BS.to(device), needed_mask)
    return model.decoder.new_cache(encoder_BSD, needed_mask, num_steps)


def _frame_limit(model: DiaModel, request: Request, max_frames: int | None) -> int:
    """Frames, the prompt's included, after which EOS is forced."""
    config = model.config
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
    prompt_frames = 0 if request.prompt is None else request.prompt.shape[0]
    possible = config.decoder.max_position_embeddings - config.layout.max_delay - 2
    if prompt_frames >= possible:
        raise GenerationError(
            f"the voice prompt has {prompt_frames} frames, the model has room for {possible} with "
            "speech behind it: use a shorter clip, 5 to 10 s are good"
        )
    return possible if max_frames is None else min(possible, prompt_frames + max_frames)
