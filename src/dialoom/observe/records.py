"""What a run writes down.

Losses are raw: nats per target, channel by channel, without the weights that training may use.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

NOT_FINITE, JUMPED = "the gradient was not finite", "the loss jumped"
"""How the events begin that tell of a bad step."""

BAD_STEPS = "bad steps in a row"
"""What the event says that tells of their end."""


@dataclass(frozen=True)
class TrainRecord:
    """One optimizer step.

    Attributes:
        step: optimizer steps done, this one included.
        epoch: passes over the corpus, as a fraction.
        loss: mean of `loss_channels`.
        loss_channels: nats per target of each channel, EOS included.
        accuracy_channels: share of targets of each channel that the arg-max hits.
        eos_loss: nats per EOS target.
        eos_recall: share of EOS targets that the arg-max hits.
        eos_recall_channels: the same of each channel; none in records of early versions.
        lr: learning rate of this step.
        grad_norm: norm of all gradients before clipping.
        audio_seconds: seconds of speech in this step's batch.
        audio_seconds_per_second: speed over the last steps.
        seconds_left: estimate until the last step.
        block_norms: gradient norm of each layer and of what is outside of layers, before clipping.
        peak_memory_gib: most memory so far: of the GPU, or of the process where it trains on a
            CPU; NaN in records of early versions.
    """

    kind: ClassVar[str] = "train"
    step: int
    epoch: float
    loss: float
    loss_channels: tuple[float, ...]
    accuracy_channels: tuple[float, ...]
    eos_loss: float
    eos_recall: float
    lr: float
    grad_norm: float
    audio_seconds: float
    audio_seconds_per_second: float
    seconds_left: float
    eos_recall_channels: tuple[float, ...] = ()
    block_norms: dict[str, float] = field(default_factory=dict)
    peak_memory_gib: float = math.nan


@dataclass(frozen=True)
class ValidRecord:
    """One pass over the validation clips; the figures mean what they mean in `TrainRecord`.

    Attributes:
        text_gain: nats per target of channel 0 that a clip's own text saves against the text of
            another clip: what the text tells. NaN where it is not measured.
        other_revision_loss: `loss` under the mathematics of Dia's other revision; at step 0 alone,
            NaN elsewhere.
        other_revision_text_gain: likewise.
    """

    kind: ClassVar[str] = "valid"
    step: int
    loss: float
    loss_channels: tuple[float, ...]
    accuracy_channels: tuple[float, ...]
    eos_loss: float
    eos_recall: float
    num_clips: int
    eos_recall_channels: tuple[float, ...] = ()
    text_gain: float = math.nan
    other_revision_loss: float = math.nan
    other_revision_text_gain: float = math.nan


@dataclass(frozen=True)
class SpeechRecord:
    """The texts of some validation clips, spoken and measured against the clips as codes sound.

    Attributes:
        num_utterances: how many.
        retrieval: share nearest to its own recording; chance is 1 ÷ num_utterances.
        stopped: share that ended by itself.
        length: share that lasts 0.8 to 1.25 times as long as its recording.
        distortion_db: median mel-cepstral distortion; NaN if nothing was said.
    """

    kind: ClassVar[str] = "speech"
    step: int
    num_utterances: int
    retrieval: float
    stopped: float
    length: float
    distortion_db: float


@dataclass(frozen=True)
class DataRecord:
    """What a run is trained on, as it is when the run starts or goes on.

    Attributes:
        step: optimizer steps done before.
        corpus: where it is.
        codec: of its codes.
        num_clips: for training.
        num_valid_clips: for validation.
        num_left_out: of both, beyond a limit.
        seconds: speech for training.
        valid_seconds: speech for validation.
        longest_s: of the clips for training.
        median_s: likewise.
        languages: that the clips name, joined by commas.
        text_bytes_per_second: of the clips for training, tags included.
    """

    kind: ClassVar[str] = "data"
    step: int
    corpus: str
    codec: str
    num_clips: int
    num_valid_clips: int
    num_left_out: int
    seconds: float
    valid_seconds: float
    longest_s: float
    median_s: float
    languages: str
    text_bytes_per_second: float


@dataclass(frozen=True)
class SampleRecord:
    """One sentence that the model said.

    Attributes:
        step: optimizer steps done before it spoke.
        name: the same for the same sentence at every step.
        text: what it was to say.
        audio_path: relative to the run's directory.
        num_frames: codec frames it produced.
        stopped: whether it ended by itself, by EOS.
        reference_path: a recording of the sentence, relative to the run's directory.
    """

    kind: ClassVar[str] = "sample"
    step: int
    name: str
    text: str
    audio_path: str
    num_frames: int
    stopped: bool
    reference_path: str | None = None


@dataclass(frozen=True)
class EventRecord:
    """Something worth telling: start, resume, a checkpoint, a sink that failed."""

    kind: ClassVar[str] = "event"
    step: int
    message: str


Record = TrainRecord | ValidRecord | SampleRecord | EventRecord | SpeechRecord | DataRecord
