"""Judges of speech with random or no weights, in the files that dialoom loads."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector, WavLMModel


def save_tiny_xvector(directory: Path, *, with_head: bool = True) -> Path:
    config = WavLMConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8, 8),
        conv_stride=(5, 8, 8),
        conv_kernel=(10, 8, 8),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        tdnn_dim=(16, 16),
        tdnn_kernel=(5, 3),
        tdnn_dilation=(1, 2),
        xvector_output_dim=12,
    )
    torch.manual_seed(0)
    (WavLMForXVector if with_head else WavLMModel)(config).save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(directory)
    return directory


class _Loudness(nn.Module):
    """Scores a clip by its root mean square."""

    def forward(self, samples: Tensor) -> Tensor:
        assert samples.dim() == 2
        return samples.square().mean(dim=-1).sqrt() * 5


class _Samples(nn.Module):
    """No score: the samples."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples * 2


class _Pair(nn.Module):
    """Wants what nobody gives."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples.reshape(3, 7, 11)


def save_scripted(path: Path, kind: str = "loudness") -> Path:
    module = {"loudness": _Loudness, "samples": _Samples, "pair": _Pair}[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of writing the form, not of reading it
        torch.jit.save(torch.jit.script(module), str(path))
    return path


def save_exported(path: Path) -> Path:
    """The loudness, as torch.export writes it, for clips of any length."""
    length = torch.export.Dim("length", min=2)
    program = torch.export.export(
        _Loudness(), (torch.zeros(1, 100),), dynamic_shapes={"samples": {1: length}}
    )
    torch.export.save(program, path)
    return path
