"""Layers that compute their activations again: the same numbers, and fewer of them kept."""

from contextlib import nullcontext
from pathlib import Path

import torch
from helpers import small_model
from tiny_run import SPEC, write_corpus
from torch import Tensor

from dialoom.data import Corpus, collate
from dialoom.model import DiaModel
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train import TrainSettings
from dialoom.train.objective import build_objective
from dialoom.train.recomputation import recompute_layers
from dialoom.train.step import train_step


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


def test_guided_layers_keep_their_activations(tmp_path: Path) -> None:
    """Hooks are called forward alone: a layer with one cannot be computed again."""
    corpus = Corpus.open(write_corpus(tmp_path / "corpus", lengths=[5, 8]))
    batch = collate(
        [corpus[0], corpus[1]],
        layout=TokenLayout(),
        tags=TagTable.default(),
        frames_per_second=SPEC.frames_per_second,
    )
    norms = []
    for settings in (
        TrainSettings(steps=1, guided_attention=20),
        TrainSettings(steps=1, guided_attention=20, recompute="all"),
    ):
        model = small_model().train()
        objective = build_objective(model, settings, nullcontext())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        norms.append(train_step(model, [batch], optimizer, objective).grad_norm)
    assert norms[1] == norms[0]
