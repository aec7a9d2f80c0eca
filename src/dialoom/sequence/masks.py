"""Who may attend to whom, as boolean masks (True: may), in the shape attention broadcasts.

Padding is on the right. In the decoder a causal mask alone then keeps every real step from seeing
padding, so the model builds no dense mask there; `decoder_self_mask` states the full law, which the
tests hold the model to. No query row is ever masked everywhere: softmax over nothing is NaN.
"""

import torch
from jaxtyping import Bool
from torch import Tensor


def encoder_self_mask(text_mask_BS: Bool[Tensor, "B S"]) -> Bool[Tensor, "B 1 1 S"]:
    """Bytes attend to the bytes of their own text."""
    return text_mask_BS[:, None, None, :]


def cross_mask(text_mask_BS: Bool[Tensor, "B S"]) -> Bool[Tensor, "B 1 1 S"]:
    """Every decoder step attends to all bytes of its own text: the encoder's mask, extended."""
    return encoder_self_mask(text_mask_BS)


def decoder_self_mask(audio_mask_BT: Bool[Tensor, "B T"]) -> Bool[Tensor, "B 1 T T"]:
    """Steps attend to earlier real steps and to themselves (a padded step to itself at least)."""
    num_steps = audio_mask_BT.shape[1]
    ones = torch.ones(num_steps, num_steps, dtype=torch.bool, device=audio_mask_BT.device)
    visible = ones.tril() & audio_mask_BT[:, None, :]
    return (visible | torch.eye(num_steps, dtype=torch.bool, device=ones.device))[:, None]
