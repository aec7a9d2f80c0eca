"""Clips → Batch: the ids, masks and targets of one training step, padded or packed.

Every rule here is one that an existing trainer of Dia got wrong: each channel ends with its own
EOS at step 1 + F + delay[c] of its own clip, inputs and targets are shifted once, BOS and PAD are
no targets and code 0 is one, nothing is ever cut. tests/data/test_batch_golden.py pins every id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from dialoom.data.clip import Clip
from dialoom.data.script import text_ids
from dialoom.errors import DataError, TextError
from dialoom.sequence import IGNORE_INDEX, Packing, Spans, TokenLayout, delay_codes, move
from dialoom.text import PAD_BYTE, TagTable

MISHEARD_RATIO = 0.7
"""Of the inputs that would be hidden: from wrong speech the place in the text is harder to tell."""

HIDDEN_SPANS = (4, 8, 16, 32, 64)
"""Steps that `hide_past` hides together: a part of a sound to a word or two, at 86 a second."""


@dataclass(frozen=True)
class Batch:
    """One batch: padded on the right to its longest text and its longest clip, or packed.

    A clip of n decoder steps has n - 1 inputs and n - 1 targets. A packed batch has one row (B = 1)
    in which clip follows clip without padding.

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
        packing: where the clips of a packed batch lie; None where it is padded.
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
    packing: Packing | None = None

    @cached_property
    def target_rows(self) -> Int64[Tensor, " rows"] | None:
        """The places b · T + t with a target on some channel; None where all places have one."""
        has_target = (self.targets_BTC != IGNORE_INDEX).any(dim=-1).flatten()
        return None if bool(has_target.all()) else has_target.nonzero()[:, 0]

    @property
    def text_lengths(self) -> tuple[int, ...]:
        """Bytes of each text."""
        return self.packing.text.lengths if self.packing else _row_lengths(self.text_mask_BS)

    @property
    def audio_lengths(self) -> tuple[int, ...]:
        """Inputs of each clip."""
        return self.packing.audio.lengths if self.packing else _row_lengths(self.audio_mask_BT)

    @property
    def has_text_padding(self) -> bool:
        """Whether texts differ in length; where they do not, attention needs no mask.

        Known from shapes and counts, so that asking it waits for no device.
        """
        return self.num_text_bytes < self.text_BS.numel()

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        rows = self.target_rows  # counted here, because counting on a GPU would wait for it
        moved = replace(
            self,
            text_BS=move(self.text_BS, device),
            text_mask_BS=move(self.text_mask_BS, device),
            audio_BTC=move(self.audio_BTC, device),
            targets_BTC=move(self.targets_BTC, device),
            audio_mask_BT=move(self.audio_mask_BT, device),
            packing=None if self.packing is None else self.packing.to(device),
        )
        vars(moved)["target_rows"] = None if rows is None else move(rows, device)
        return moved


def collate(
    clips: Sequence[Clip],
    *,
    layout: TokenLayout,
    tags: TagTable,
    frames_per_second: float,
    max_text_bytes: int = 1024,
    max_steps: int = 3072,
    packed: bool = False,
) -> Batch:
    """Batches clips; a language that the table has a byte for is put in front of the text.

    Args:
        clips: at least one.
        layout: of the codes.
        tags: of the texts.
        frames_per_second: of the codec.
        max_text_bytes: that the model reads.
        max_steps: that the model has.
        packed: one clip behind the other, instead of padded to the longest.

    Raises:
        TextError: a text is empty or has more than `max_text_bytes`.
        DataError: a clip has more than `max_steps` decoder steps, or codes of another geometry.
    """
    texts = [_text(clip, tags, max_text_bytes) for clip in clips]
    steps = [_steps(clip, layout, max_steps) for clip in clips]
    targets = [_targets(steps_TC[1:], layout) for steps_TC in steps]
    seconds = sum(clip.codes.num_frames for clip in clips) / frames_per_second
    return _assemble(
        texts,
        [steps_TC[:-1] for steps_TC in steps],
        targets,
        clip_ids=tuple(clip.id for clip in clips),
        audio_seconds=seconds,
        pad_id=None if packed else layout.pad_id,
    )


def take_clips(batch: Batch, indices: Sequence[int], *, pad_id: int) -> Batch:
    """Some clips of a batch, padded to the longest of them or packed as the batch is.

    Args:
        batch: on any device.
        indices: of the clips, in the order that they shall have.
        pad_id: of the layout.
    """
    is_packed = batch.packing is not None
    texts = _divide(batch.text_BS, batch.text_lengths, packed=is_packed)
    inputs = _divide(batch.audio_BTC, batch.audio_lengths, packed=is_packed)
    targets = _divide(batch.targets_BTC, batch.audio_lengths, packed=is_packed)
    share = sum(len(inputs[i]) for i in indices) / sum(batch.audio_lengths)
    return _assemble(
        [texts[i] for i in indices],
        [inputs[i] for i in indices],
        [targets[i] for i in indices],
        clip_ids=tuple(batch.clip_ids[i] for i in indices),
        audio_seconds=batch.audio_seconds * share,
        pad_id=None if is_packed else pad_id,
    )


def _assemble(
    texts: list[Tensor],
    inputs: list[Tensor],
    targets: list[Tensor],
    *,
    clip_ids: tuple[str, ...],
    audio_seconds: float,
    pad_id: int | None,
) -> Batch:
    """A batch of what its clips are made of; packed if there is no id to pad with."""
    packed, device = pad_id is None, texts[0].device
    join = partial(_join, packed=packed)
    packing = None
    if packed:
        spans = Spans.of([len(text) for text in texts]), Spans.of([len(x) for x in inputs])
        packing = Packing(*spans).to(device)
    return Batch(
        text_BS=join(texts, PAD_BYTE),
        text_mask_BS=join([torch.ones_like(text, dtype=torch.bool) for text in texts], False),
        audio_BTC=join(inputs, pad_id or 0),
        targets_BTC=join(targets, IGNORE_INDEX),
        audio_mask_BT=join([torch.ones_like(x[:, 0], dtype=torch.bool) for x in inputs], False),
        num_targets=sum(int((x != IGNORE_INDEX).sum()) for x in targets),
        num_text_bytes=sum(len(text) for text in texts),
        clip_ids=clip_ids,
        audio_seconds=audio_seconds,
        packing=packing,
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
    is_dropped_B = draws_B < probability
    dropped_BS = is_dropped_B[:, None]
    if batch.packing is not None:
        lengths = torch.tensor(batch.text_lengths, device=generator.device)
        dropped_BS = is_dropped_B.repeat_interleave(lengths)[None]
    return replace(batch, text_BS=batch.text_BS.masked_fill(dropped_BS, PAD_BYTE))


def exchange_texts(batches: Sequence[Batch]) -> list[Batch]:
    """The same clips, each with the text of the clip behind it, the last with that of the first.

    What a model loses by it is what the texts tell it.
    """
    texts = [
        text
        for batch in batches
        for text in _divide(batch.text_BS, batch.text_lengths, packed=batch.packing is not None)
    ]
    others = iter([*texts[1:], *texts[:1]])
    return [_with_texts(batch, [next(others) for _ in batch.clip_ids]) for batch in batches]


def _with_texts(batch: Batch, texts: list[Tensor]) -> Batch:
    join = partial(_join, packed=batch.packing is not None)
    packing = batch.packing
    if packing is not None:
        packing = Packing(Spans.of([len(t) for t in texts]), packing.audio).to(texts[0].device)
    return replace(
        batch,
        text_BS=join(texts, PAD_BYTE),
        text_mask_BS=join([torch.ones_like(text, dtype=torch.bool) for text in texts], False),
        num_text_bytes=sum(len(text) for text in texts),
        packing=packing,
    )


def hide_past(
    batch: Batch,
    share: float,
    pad_id: int,
    generator: torch.Generator,
    *,
    misheard_share: float = 0.0,
) -> Batch:
    """Takes parts of the past away, so that the text is the better guide to what follows.

    Codes are so alike from step to step that a new model learns to continue them long before it
    learns to read. Hiding a part of them is to Dia what dropout in the pre-net is to Tacotron
    (Wang et al., arXiv 1703.10135). Targets and the first input, BOS, stay. Each clip draws its
    own share from U(0, 2 · share), so that some clips are nearly whole, and its own length of what
    is hidden together: what is missing for a step can be guessed from its neighbours, a missing
    syllable only from the text.

    Hidden inputs become PAD. In some of the clips they become what the same clip says elsewhere
    instead, and fewer of them do: a model that has said something wrong must find back to the text,
    which recordings alone would never show it. Scheduled sampling (Bengio et al., arXiv 1506.03099)
    has the same aim, with the model's own mistakes.

    Args:
        batch: on the CPU.
        share: mean share of the inputs to hide, at most 0.5.
        pad_id: of the layout.
        generator: decides which.
        misheard_share: share of the clips that mishear.
    """
    packed = batch.packing is not None
    clips = _divide(batch.audio_BTC, batch.audio_lengths, packed=packed)
    heard = []
    for inputs_TC in clips:
        if torch.rand(1, generator=generator) < misheard_share:
            is_lost_T = _choose_spans(len(inputs_TC), share * MISHEARD_RATIO, generator)
            offset = int(torch.randint(len(inputs_TC), (1,), generator=generator))
            instead_TC = inputs_TC.roll(offset, 0)
        else:
            is_lost_T = _choose_spans(len(inputs_TC), share, generator)
            instead_TC = torch.full_like(inputs_TC, pad_id)
        heard.append(torch.where(is_lost_T[:, None], instead_TC, inputs_TC))
    return replace(batch, audio_BTC=_join(heard, pad_id, packed=packed))


def _choose_spans(length: int, share: float, generator: torch.Generator) -> Bool[Tensor, " T"]:
    """Which of a clip's inputs are lost: whole spans, never the first input."""
    share_of_clip = 2 * share * torch.rand(1, generator=generator)
    span = HIDDEN_SPANS[int(torch.randint(len(HIDDEN_SPANS), (1,), generator=generator))]
    draws = torch.rand(1 + length // span, generator=generator)
    is_lost_T = (draws < share_of_clip).repeat_interleave(span)[:length]
    is_lost_T[0] = False
    return is_lost_T


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


def _join(rows: Sequence[Tensor], padding: int | bool, *, packed: bool) -> Tensor:
    if packed:
        return torch.cat(list(rows))[None]
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)


def _divide(joined: Tensor, lengths: tuple[int, ...], *, packed: bool) -> list[Tensor]:
    """Inverse of `_join`."""
    if packed:
        return list(torch.split(joined[0], list(lengths)))
    return [row[:length] for row, length in zip(joined, lengths, strict=True)]


def _row_lengths(mask: Bool[Tensor, "rows places"]) -> tuple[int, ...]:
    return tuple(mask.sum(dim=1).tolist())
