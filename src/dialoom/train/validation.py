"""Validation: what the model makes of clips that it is not trained on, and of their texts.

Beside the loss there are two figures that tell what no curve tells. With the text of another clip
the loss rises by what the text tells the model; where it does not rise, the model does not read, or
the transcripts belong to other recordings. And before the first step the loss under the mathematics
of Dia's other revision tells whether the weights were taken for what they are not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch

from dialoom.data import Batch, exchange_texts
from dialoom.model import DiaModel, Revision
from dialoom.observe import ValidRecord
from dialoom.train.meter import valid_record
from dialoom.train.replica import Replica


class Validation:
    """The same clips at every time, each rank its part of them."""

    def __init__(self, batches: Sequence[Batch], replica: Replica) -> None:
        """Takes the batches of all ranks; none where there are no validation clips."""
        self._batches = batches
        self._replica = replica
        self._num_clips = sum(len(batch.clip_ids) for batch in batches)

    def __bool__(self) -> bool:
        return bool(self._batches)

    def measure(self, step: int) -> ValidRecord:
        """Loss and what the texts tell; all ranks must ask."""
        loss = self._replica.loss
        loss.eval()
        record = self._measure(step)
        if step == 0:
            with _read_as_other_revision(self._replica.model):
                other = self._measure(step)
            record = replace(
                record,
                other_revision_loss=other.loss,
                other_revision_text_gain=other.text_gain,
            )
        loss.train()
        return record

    def _measure(self, step: int) -> ValidRecord:
        sums = self._replica.evaluate(self._batches)
        record = valid_record(step, sums, self._num_clips)
        if self._num_clips < 2:
            return record
        others = self._replica.evaluate(self._with_other_texts)
        loss = float(others.channel_losses_C[0] / others.channel_targets_C[0])
        return replace(record, text_gain=loss - record.loss_channels[0])

    @cached_property
    def _with_other_texts(self) -> list[Batch]:
        return exchange_texts(self._batches)


@contextmanager
def _read_as_other_revision(model: DiaModel) -> Iterator[None]:
    """The same weights under the other mathematics; layers that are compiled run as they were."""
    config = model.config
    (other,) = (revision for revision in Revision if revision is not config.revision)
    decoder = model.decoder
    decoder.config = replace(config, revision=other)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        decoder.config = config
