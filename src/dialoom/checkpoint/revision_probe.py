"""Which revision are these weights of? A clip's teacher-forced loss under both mathematics says it.

No module that speaks may import this one: it needs batches and losses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dialoom.checkpoint.load import load_model, load_weights
from dialoom.checkpoint.pretrained import LoadedModel
from dialoom.codec import Codes
from dialoom.data import Batch, Clip, collate
from dialoom.errors import CheckpointError
from dialoom.loss import channel_loss
from dialoom.model import DiaConfig, DiaModel, Revision
from dialoom.text import prepare_text

MIN_MARGIN = 0.1
"""Nats per target by which one revision must be better before it is believed."""


@dataclass(frozen=True)
class RevisionVerdict:
    """What a probe found.

    Attributes:
        losses: mean nats per target under each mathematics.
        revision: the better one.
        margin: by how much.
    """

    losses: Mapping[Revision, float]
    revision: Revision
    margin: float

    def __str__(self) -> str:
        told = ", ".join(f"{loss:.3f} as {revision}" for revision, loss in self.losses.items())
        return f"loss {told}: it is {self.revision}, better by {self.margin:.3f} nats per target"


def probe_revision(source: str, codes: Codes, text: str) -> tuple[LoadedModel, RevisionVerdict]:
    """Loads a model that does not say its revision, and finds it out.

    Args:
        source: as for `load_model`.
        codes: a clip in the codec of the model's training.
        text: exactly what is said in it.

    Raises:
        CheckpointError: the model cannot be loaded, or the clip does not decide.
    """
    loaded = load_model(source, revision=Revision.JUNE_2025)
    batch = _batch(loaded, codes, text)
    state = loaded.model.state_dict()
    wide = {name: tensor.float() for name, tensor in state.items()}  # attention overflows float16
    config = loaded.model.config
    losses = {revision: _loss(_as_revision(config, wide, revision), batch) for revision in Revision}
    best, other = sorted(losses, key=lambda revision: losses[revision])
    verdict = RevisionVerdict(losses, best, losses[other] - losses[best])
    if not verdict.margin >= MIN_MARGIN:
        told = " and ".join(f"{loss:.3f} as {revision}" for revision, loss in losses.items())
        raise CheckpointError(
            f"{source}: the clip does not tell the revision (loss {told}): take a clip with its "
            "exact transcript and the model's codec, or ask the author and give --revision"
        )
    return LoadedModel(_as_revision(config, state, best), loaded.info), verdict


def _batch(loaded: LoadedModel, codes: Codes, text: str) -> Batch:
    config, info = loaded.model.config, loaded.info
    clip = Clip("probe", prepare_text(text), None, None, codes)
    return collate(
        [clip],
        layout=config.layout,
        tags=info.tags,
        frames_per_second=1.0,
        max_text_bytes=config.encoder.max_position_embeddings,
        max_steps=config.decoder.max_position_embeddings,
    )


def _as_revision(config: DiaConfig, state: Mapping[str, Tensor], revision: Revision) -> DiaModel:
    """The same tensors under the mathematics of a revision."""
    with torch.device("meta"):
        other = DiaModel(replace(config, revision=revision))
    load_weights(other, state, where="probe")
    return other.eval()


@torch.inference_mode()
def _loss(model: DiaModel, batch: Batch) -> float:
    logits = model(batch.text_BS, batch.audio_BTC)
    sums = channel_loss(logits, batch.targets_BTC, eos_id=model.config.layout.eos_id)
    return float(sums.channel_losses_C.sum() / sums.channel_targets_C.sum())
