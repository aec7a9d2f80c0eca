"""Logits of one step → ids, by the rules of Dia's 0626 inference.

Guidance only chooses which ids stay; the draw is from the conditional distribution over them.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dialoom.generate.settings import SamplingSettings
from dialoom.sequence import TokenLayout


def guide(
    conditional_BCV: Float[Tensor, "B C V"],
    unconditional_BCV: Float[Tensor, "B C V"] | None,
    cfg_scale: float,
) -> Float[Tensor, "B C V"]:
    """Cond + scale · (cond - uncond): classifier-free guidance centred on the conditional logits.

    As in nari-labs/dia and transformers. The usual form uncond + s · (cond - uncond) (Ho and
    Salimans, arXiv 2207.12598) does the same at s = scale + 1.
    """
    if unconditional_BCV is None:
        return conditional_BCV
    return conditional_BCV + cfg_scale * (conditional_BCV - unconditional_BCV)


def choose_ids(
    conditional_BCV: Float[Tensor, "B C V"],
    unconditional_BCV: Float[Tensor, "B C V"] | None,
    settings: SamplingSettings,
    layout: TokenLayout,
    generators: Sequence[torch.Generator | None],
) -> Int[Tensor, "B C"]:
    """Draws the next id of every channel.

    - the top-k of the guided logits stay, with their conditional logits;
    - PAD and BOS never; EOS on channel 0 alone, and there exactly when it is the arg-max;
    - then temperature and nucleus, or the arg-max at temperature 0.

    Each row draws from its own generator, so that its result does not depend on its neighbours; a
    row whose step is given (None) draws nothing.
    """
    guided_BCV = guide(conditional_BCV, unconditional_BCV, settings.cfg_scale)
    top_k = min(settings.top_k or layout.vocab_size, layout.vocab_size)
    ids_BCK = guided_BCV.topk(top_k, dim=-1).indices
    logits_BCK = conditional_BCV.gather(-1, ids_BCK).float()
    logits_BCK, ids_BCK = _only_allowed(logits_BCK, ids_BCK, conditional_BCV, layout)

    best_BC = _pick(ids_BCK, logits_BCK.argmax(dim=-1))
    if settings.temperature == 0:
        return best_BC
    is_eos_BCK = ids_BCK == layout.eos_id
    logits_BCK = logits_BCK.masked_fill(is_eos_BCK, -torch.inf) / settings.temperature
    sampled_BC = _pick(ids_BCK, _sample(_nucleus(logits_BCK, settings.top_p), generators))
    return torch.where(best_BC == layout.eos_id, best_BC, sampled_BC)


def _only_allowed(
    logits_BCK: Float[Tensor, "B C K"],
    ids_BCK: Int[Tensor, "B C K"],
    conditional_BCV: Float[Tensor, "B C V"],
    layout: TokenLayout,
) -> tuple[Float[Tensor, "B C K"], Int[Tensor, "B C K"]]:
    """Special ids get -inf. Where nothing is left, the best code steps in at the first place."""
    is_first_channel = torch.arange(layout.num_channels, device=ids_BCK.device)[:, None] == 0
    allowed = (ids_BCK < layout.codebook_size) | (is_first_channel & (ids_BCK == layout.eos_id))
    logits_BCK = logits_BCK.masked_fill(~allowed, -torch.inf)
    is_empty_BC1 = ~(ids_BCK < layout.codebook_size).any(dim=-1, keepdim=True)
    best = conditional_BCV[..., : layout.codebook_size].max(dim=-1, keepdim=True)
    first = torch.arange(ids_BCK.shape[-1], device=ids_BCK.device) == 0
    lost_eos_BC1 = (allowed & (ids_BCK == layout.eos_id)).any(dim=-1, keepdim=True)
    replace = is_empty_BC1 & ~lost_eos_BC1 & first
    return (
        torch.where(replace, best.values.float(), logits_BCK),
        torch.where(replace, best.indices, ids_BCK),
    )


def _nucleus(logits_BCK: Float[Tensor, "B C K"], top_p: float) -> Float[Tensor, "B C K"]:
    """Keeps the likeliest ids until their mass passes top_p (Holtzman et al., arXiv 1904.09751)."""
    if top_p >= 1:
        return logits_BCK
    ordered, order = logits_BCK.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    mass_before = probabilities.cumsum(dim=-1) - probabilities
    return logits_BCK.masked_fill(
        (mass_before > top_p).gather(-1, order.argsort(dim=-1)), -torch.inf
    )


def _sample(
    logits_BCK: Float[Tensor, "B C K"], generators: Sequence[torch.Generator | None]
) -> Int[Tensor, "B C"]:
    """A draw by the Gumbel-max rule: arg-max of logits - ln(-ln u), with u uniform."""
    shape = logits_BCK.shape[1:]
    noise = torch.stack(
        [
            torch.ones(shape)
            if generator is None
            else torch.empty(shape).exponential_(generator=generator)
            for generator in generators
        ]
    )
    return (logits_BCK - noise.to(logits_BCK.device).log()).argmax(dim=-1)


def _pick(ids_BCK: Int[Tensor, "B C K"], where_BC: Int[Tensor, "B C"]) -> Int[Tensor, "B C"]:
    return ids_BCK.gather(-1, where_BC[..., None]).squeeze(-1)
