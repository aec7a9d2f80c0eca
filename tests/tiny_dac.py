"""A DAC of random weights with the geometry of Dia's: 44.1 kHz, hop 512, 9 codebooks."""

from pathlib import Path

import torch
from transformers import DacConfig, DacModel


def save_tiny_dac(path: Path) -> Path:
    torch.manual_seed(0)
    DacModel(
        DacConfig(
            encoder_hidden_size=8,
            decoder_hidden_size=32,
            downsampling_ratios=[2, 4, 8, 8],
            upsampling_ratios=[8, 8, 4, 2],
            n_codebooks=9,
            codebook_dim=4,
            sampling_rate=44_100,
        )
    ).save_pretrained(path)
    return path
