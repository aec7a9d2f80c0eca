"""What the goldens of nari's code were made from; tests rebuild the same models and inputs."""

from pathlib import Path

import torch
from helpers import small_model

from dialoom.model import DiaModel, Revision

TEXTS = [
    "[S1] Hello.",
    "[S1] How are you? [S2] Fine, thanks! (laughs)",
    "[S1] Grüß Gott, schöne Füße.",
    "[S2] one",
    "[S1] A rather longer sentence, so that the batch has something to pad. [S2] Yes.",
]
PROMPTED = "[S1] The prompt says this. [S1] And the model goes on."
MAX_STEPS = 300
"""nari forces EOS on channel 0 at step MAX_STEPS - 15, behind MAX_STEPS - 16 frames."""

ENDS = {
    (Revision.JUNE_2025, "own_end"): (2.5, 2),
    (Revision.JUNE_2025, "forced_end"): (0.0, 5),
    (Revision.APRIL_2025, "forced_end"): (0.0, 4),
}
"""Gain of EOS and seed of the models that speak. With these seeds no greedy choice is closer than
3e-4, at logits up to 20: another processor's rounding does not turn it over."""

KEPT_IDS = list(range(0, 1028, 64))
"""Of the logits, to keep the file small; their log-sum-exp holds the other ids."""


def golden_file(revision: Revision) -> Path:
    return Path(__file__).with_name(f"nari_{revision}.npz")


def golden_model(revision: Revision, *, eos_gain: float = 1.0, seed: int = 1) -> DiaModel:
    """Small random weights; the larger the gain, the sooner channel 0 says EOS.

    With a gain of 0 no channel ever prefers a special id: April's code forbids them before it
    chooses, 0626's afterwards.
    """
    model = small_model(revision, seed=seed)
    with torch.no_grad():
        model.logits_dense.weight[1024].mul_(eos_gain)
        if eos_gain == 0:
            model.logits_dense.weight.view(9, 1028, -1)[:, 1024:] = 0
    return model


def prompt_codes() -> torch.Tensor:
    return torch.randint(0, 1024, (30, 9), generator=torch.Generator().manual_seed(5))


def teacher_steps() -> torch.Tensor:
    """Decoder inputs (texts, T, C) for the logits."""
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 1027, (len(TEXTS), 12, 9), generator=generator)
