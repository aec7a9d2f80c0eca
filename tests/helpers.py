"""Small models that the tests share."""

import torch

from dialoom.model import DecoderConfig, DiaConfig, DiaModel, EncoderConfig, Revision, initialize
from dialoom.sequence import TokenLayout


def small_config(
    revision: Revision = Revision.JUNE_2025, layout: TokenLayout | None = None
) -> DiaConfig:
    """Two layers each; grouped keys and heads × head_dim ≠ width, so no axis hides another."""
    return DiaConfig(
        encoder=EncoderConfig(
            num_hidden_layers=2,
            hidden_size=48,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            intermediate_size=96,
        ),
        decoder=DecoderConfig(
            num_hidden_layers=2,
            hidden_size=64,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=24,
            cross_num_attention_heads=3,
            cross_num_key_value_heads=3,
            cross_head_dim=16,
            intermediate_size=128,
        ),
        layout=layout or TokenLayout(),
        revision=revision,
    )


def small_model(revision: Revision = Revision.JUNE_2025, seed: int = 0) -> DiaModel:
    model = DiaModel(small_config(revision))
    initialize(model, seed=seed)
    with torch.no_grad():  # a head as large as a trained one, so that differences would show
        model.logits_dense.weight.mul_(20)
    return model.eval()
