"""Clips → Batch: the ids, masks and targets of one training step.

Every rule here is one that an existing trainer of Dia got wrong: each channel ends with its own
EOS at step 1 + F + delay[c] of its own clip, inputs and targets are shifted once, BOS and PAD are
no targets and code 0 is one, nothing is ever cut. tests/data/test_batch_golden.py pins every id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from dialoom.data.clip import Clip
from dialoom.data.script import text_ids
from dialoom.errors import DataError, TextError
from dialoom.sequence import IGNORE_INDEX, TokenLayout, delay_codes
from dialoom.text import PAD_BYTE, TagTable

HIDDEN_SPANS = (4, 8, 16, 32, 64)
"""Steps that `hide_past` hides together: a part of a sound to a word or two, at 86 a second."""


@dataclass(frozen=True)
class Batch:
    """One batch, padded on the right to its longest text and its longest clip.

    A clip of n decoder steps has n - 1 inputs and n - 1 targets.

    Attributes:
        text_BS: bytes, padded with 0.
        text_mask_BS: True where a byte is.
        audio_BTC: decoder inputs, steps 0 … n-2, padded with PAD.
        targets_BTC: steps 1 … n-1; IGNORE_INDEX where the target would be BOS or PAD.
        audio_mask_BT: True where an input is.
        num_targets: targets that count, over all channels.
        num_text_bytes: bytes of all texts, padding not counted.
        clip_ids: in the order of the rows.
        audio_seconds: speech in the batch, padding not counted.
    """

    text_BS: Int64[Tensor, "B S"]
    text_mask_BS: Bool[Tensor, "B S"]
    audio_BTC: Int64[Tensor, "B T C"]
    targets_BTC: Int64[Tensor, "B T C"]
    audio_mask_BT: Bool[Tensor, "B T"]
    num_targets: int
    num_text_bytes: int
    clip_ids: tuple[str, ...]
    audio_seconds: float

    @property
    def has_text_padding(self) -> bool:
        """Whether texts differ in length; where they do not, attention needs no mask.

        Known from shapes and counts, so that asking it waits for no device.
        """
        return self.num_text_bytes < self.text_BS.numel()

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return replace(
            self,
            text_BS=self.text_BS.to(device, non_blocking=True),
            text_mask_BS=self.text_mask_BS.to(device, non_blocking=True),
            audio_BTC=self.audio_BTC.to(device, non_blocking=True),
            targets_BTC=self.targets_BTC.to(device, non_blocking=True),
            audio_mask_BT=self.audio_mask_BT.to(device, non_blocking=True),
        )


def collate(
    clips: Sequence[Clip],
    *,
    layout: TokenLayout,
    tags: TagTable,
    frames_per_second: float,
    max_text_bytes: int = 1024,
    max_steps: int = 3072,
) -> Batch:
    """Batches clips; a language that the table has a byte for is put in front of the text.

    Raises:
        TextError: a text is empty or has more than `max_text_bytes`.
        DataError: a clip has more than `max_steps` decoder steps, or codes of another geometry.
    """
    texts = [_text(clip, tags, max_text_bytes) for clip in clips]
    steps = [_steps(clip, layout, max_steps) for clip in clips]
    targets = [_targets(steps_TC[1:], layout) for steps_TC in steps]
    targets_BTC = _stack(targets, IGNORE_INDEX)
    return Batch(
        text_BS=_stack(texts, PAD_BYTE),
        text_mask_BS=_stack([torch.ones_like(text, dtype=torch.bool) for text in texts], False),
        audio_BTC=_stack([steps_TC[:-1] for steps_TC in steps], layout.pad_id),
        targets_BTC=targets_BTC,
        audio_mask_BT=_stack([torch.ones(len(s) - 1, dtype=torch.bool) for s in steps], False),
        num_targets=int((targets_BTC != IGNORE_INDEX).sum()),
        num_text_bytes=sum(len(text) for text in texts),
        clip_ids=tuple(clip.id for clip in clips),
        audio_seconds=sum(clip.codes.num_frames for clip in clips) / frames_per_second,
    )


def drop_text(batch: Batch, probability: float, generator: torch.Generator) -> Batch:
    """Takes the text from some clips, so that guidance has an unconditional branch to compare with.

    Drawn for each clip: its bytes become zeros, its mask stays, exactly as the unconditional row is
    made at inference.

    Args:
        batch: on the generator's device.
        probability: of each clip to lose its text.
        generator: decides which.
    """
    draws_B = torch.rand(len(batch.clip_ids), generator=generator, device=generator.device)
    dropped_B1 = (draws_B < probability)[:, None]
    return replace(batch, text_BS=batch.text_BS.masked_fill(dropped_B1, PAD_BYTE))


def hide_past(batch: Batch, share: float, pad_id: int, generator: torch.Generator) -> Batch:
    """Replaces whole decoder inputs by PAD, so that the text is the better guide to what follows.

    Codes are so alike from step to step that a new model learns to continue them long before it
    learns to read. Hiding a part of them is to Dia what dropout in the pre-net is to Tacotron
    (Wang et al., arXiv 1703.10135). Targets and the first input, BOS, stay. Each clip draws its
    own share from U(0, 2 · share), so that some clips are nearly whole, and its own length of what
    is hidden together: what is missing for a step can be guessed from its neighbours, a missing
    syllable only from the text.

    Args:
        batch: on the CPU.
        share: mean share of the inputs to hide, at most 0.5.
        pad_id: of the layout.
        generator: decides which.
    """
    num_clips, num_steps = batch.audio_mask_BT.shape
    draws_BT = torch.rand(num_clips, num_steps, generator=generator)
    share_B1 = 2 * share * torch.rand(num_clips, 1, generator=generator)
    spans = torch.tensor(HIDDEN_SPANS)
    span_B1 = spans[torch.randint(len(spans), (num_clips, 1), generator=generator)]
    span_BT = torch.arange(num_steps) // span_B1
    hidden_BT = draws_BT.gather(1, span_BT) < share_B1
    hidden_BT[:, 0] = False
    return replace(batch, audio_BTC=batch.audio_BTC.masked_fill(hidden_BT[:, :, None], pad_id))


def _text(clip: Clip, tags: TagTable, max_text_bytes: int) -> Int64[Tensor, " S"]:
    ids = text_ids(clip.text, clip.language, tags)
    if len(ids) > max_text_bytes:
        raise TextError(
            f"clip {clip.id}: its text has {len(ids)} bytes, the model reads {max_text_bytes}; "
            "split the clip or leave it out with max_text_bytes"
        )
    return torch.tensor(ids, dtype=torch.long)


def _steps(clip: Clip, layout: TokenLayout, max_steps: int) -> Int64[Tensor, "T C"]:
    frames = clip.codes.frames
    if len(frames) == 0:
        raise DataError(f"clip {clip.id}: has no frames; leave it out")
    if clip.codes.num_codebooks != layout.num_channels or frames.max() >= layout.codebook_size:
        raise DataError(
            f"clip {clip.id}: its codes ({clip.codes.num_codebooks} codebooks, largest id "
            f"{frames.max()}) are not those of the model ({layout.num_channels} channels of "
            f"{layout.codebook_size}); prepare the corpus with the model's codec"
        )
    num_steps = layout.num_steps(clip.codes.num_frames)
    if num_steps > max_steps:
        raise DataError(
            f"clip {clip.id}: needs {num_steps} decoder steps, the model has {max_steps}; "
            "split the clip or leave it out with max_seconds"
        )
    return delay_codes(torch.from_numpy(frames.astype("int64")), layout)


def _targets(steps_TC: Int64[Tensor, "T C"], layout: TokenLayout) -> Int64[Tensor, "T C"]:
    """BOS and PAD are forced at inference: to learn them would only flatter the loss."""
    forced = (steps_TC == layout.bos_id) | (steps_TC == layout.pad_id)
    return steps_TC.masked_fill(forced, IGNORE_INDEX)


def _stack(rows: Sequence[Tensor], padding: int | bool) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)
