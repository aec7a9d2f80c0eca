"""Layers that compute their activations again: the same numbers, and fewer of them kept."""

import torch
from helpers import small_model
from torch import Tensor

from dialoom.model import DiaModel
from dialoom.train.recomputation import recompute_layers


def _step(model: DiaModel) -> tuple[dict[str, Tensor], int]:
    """Gradients, and the bytes that the forward pass keeps for the backward pass."""
    generator = torch.Generator().manual_seed(0)
    text_BS = torch.randint(1, 256, (2, 13), generator=generator)
    audio_BTC = torch.randint(0, 1027, (2, 24, 9), generator=generator)
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.states(text_BS, audio_BTC)
    hidden.square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, kept


def test_recomputed_layers_give_the_same_gradients_and_keep_less() -> None:
    expected, all_kept = _step(small_model().train())
    sizes = []
    for which in ("all", 2):
        model = small_model().train()
        names = list(model.state_dict())
        recompute_layers(model, which)
        assert list(model.state_dict()) == names
        gradients, kept = _step(model)
        assert all(torch.equal(gradients[name], expected[name]) for name in expected)
        sizes.append(kept)
    assert sizes[0] < sizes[1] < all_kept
    assert sizes[0] < 0.5 * all_kept
