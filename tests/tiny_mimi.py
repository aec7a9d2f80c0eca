"""A Mimi of random weights: 24 kHz, hop 1920, 12 codebooks of 64."""

from pathlib import Path

import torch
from transformers import MimiConfig, MimiModel


def save_tiny_mimi(path: Path) -> Path:
    torch.manual_seed(0)
    config = MimiConfig(
        hidden_size=32,
        num_filters=4,
        num_hidden_layers=1,
        intermediate_size=32,
        num_attention_heads=2,
        num_key_value_heads=2,
        codebook_size=64,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        upsample_groups=32,
        num_quantizers=12,
    )
    model = MimiModel(config)
    for name, buffer in model.named_buffers():
        if name.endswith("embed_sum"):  # transformers starts with codebooks of zeros
            buffer.normal_()
    model.save_pretrained(path)
    return path
