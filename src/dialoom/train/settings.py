"""What a recipe says under `train`."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DIA_LINEAR_MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj")
"""All linear maps of Dia's layers, under transformers' names."""

Share = Annotated[float, Field(ge=0, lt=1)]


class LoraSettings(BaseModel):
    """An adapter beside frozen weights (Hu et al., arXiv 2106.09685), in peft's format."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank: int = Field(default=16, ge=1)
    """r: columns of B and rows of A; twice the rank has twice the weights to learn."""
    alpha: int = Field(default=32, ge=1)
    """The adapter is added alpha / rank times; twice the rank is usual."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are dropped; 0.05 for less than an hour of speech."""
    dora: bool = False
    """Learns the norm of every row too (Liu et al., arXiv 2402.09353): better, and slower."""
    targets: tuple[str, ...] = Field(default=DIA_LINEAR_MAPS, min_length=1)
    """Linear maps that get an adapter: the end of their names, or a pattern: decoder.*.q_proj"""
    embeddings: bool = False
    """Trains both embedding tables whole too, part of the adapter: for new tags and scripts."""


class TrainSettings(BaseModel):
    """How to train. Field descriptions are the reference of the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps in all; either this or `epochs`."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training clips; either this or `steps`."""
    batch_size: int = Field(default=4, ge=1)
    """Clips per micro-batch."""
    max_frames_per_batch: int | None = Field(default=None, ge=1)
    """Frames per micro-batch, padding and text included; what bounds memory and evens out steps."""
    batching: Literal["auto", "packed", "padded"] = "auto"
    """packed lays clips end to end without padding; auto takes what is faster on the device."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches per step, over all processes; the gradient is that of one large batch."""
    memory_steps: int | None = Field(default=None, ge=1)
    """Decoder steps with padding that are computed at once; a larger micro-batch is divided."""
    probe_passes: int | None = Field(default=None, ge=0)
    """Passes of the largest micro-batch before the first step; none: 3 on a GPU, 0 elsewhere."""
    parallel: Literal["auto", "ddp", "fsdp"] = "auto"
    """Under torchrun: ddp repeats the model, fsdp divides it; auto repeats it where it fits."""
    lora: LoraSettings | None = None
    """Trains an adapter and leaves the weights as they are; `{}` takes its defaults."""
    freeze: tuple[str, ...] = ()
    """Parameters that stay as they are, as patterns of their names: "encoder.*", "*.mlp.*" """
    lr: float = Field(default=1e-5, gt=0)
    """Peak learning rate; 1e-5 … 2e-5 for fine-tuning Dia-1.6B."""
    warmup_steps: int = Field(default=200, ge=0)
    """Steps in which the rate rises from 0 to `lr`."""
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    """How the rate goes on after the warm-up; wsd stays and falls linearly in `decay_steps`."""
    decay_steps: int = Field(default=0, ge=0)
    """Last steps in which wsd falls; a run prolonged by `train.steps` just stays for longer."""
    final_lr_ratio: float = Field(default=0.1, ge=0, le=1)
    """Where cosine, linear and wsd end, as a share of `lr`."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit keeps its two states in 8 bits, 2 bytes per weight for 8; needs torchao."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay of matrices; norms and embeddings have none."""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """AdamW's averaging of gradients and of their squares."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Norm to which the gradient of a step is clipped."""
    text_dropout: float = Field(default=0.15, ge=0, lt=1)
    """Share of clips whose text is taken away, so that guidance works."""
    audio_dropout: float = Field(default=0.0, ge=0, le=0.5)
    """Mean share of past steps hidden from the decoder; for new models, who must learn to read."""
    misheard_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the clips in which other speech stands where the past is hidden: for new models that
    read already, so that they find back to the text from their own mistakes; 0.5."""
    guided_attention: float = Field(default=0.0, ge=0)
    """Nats per step that cross-attention far from the diagonal costs; for new models, 20."""
    query_key_lr_ratio: float = Field(default=1.0, gt=0, le=1)
    """Rate of query and key projections as a share of `lr`; for new models, 0.35."""
    channel_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """Weight of each channel's loss; none is 1 each. The log is raw always."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Autocast over the weights; auto takes bf16 where the processor computes in it, else fp32.

    fp16 is for GPUs before Ampere; the loss is scaled so that small gradients survive."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """bf16 halves the memory of weights that `lora` freezes, or that adamw8bit rounds at random."""
    tf32: bool = False
    """Products of fp32 on GPUs in TF32: faster, with 10 bits of mantissa for 23."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Keeps an average of the weights, moved by 1 - ema_decay a step; 0.999 … 0.9999."""
    use_ema: bool = True
    """Whether validation, samples and the models in checkpoints have the averaged weights."""
    recompute: Literal["none", "all"] | Annotated[int, Field(ge=1)] = "none"
    """Layers that keep no activations but compute them again: less memory, a third slower.
    all, or every n-th (2 is every other)."""
    compile: bool = False
    """torch.compile of every layer and of the loss; pays after a minute, needs a C++ compiler."""
    device: str = "auto"
    """auto is a GPU if there is one."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Decides the weights of a new model, the order of clips and which texts are dropped."""
    valid_every: int = Field(default=200, ge=1)
    """Steps between validations; there is one before the first step and one after the last."""
    sample_every: int | None = Field(default=None, ge=1)
    """Steps between sentences spoken by the model of the moment; none: after the last step only."""
    sample_at_start: bool = False
    """Whether the model speaks before the first step too: a base, to be compared with."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between checkpoints; there is one after the last step."""
    keep_last: int = Field(default=2, ge=1)
    """Checkpoints to keep besides the best."""
    keep_every: int | None = Field(default=None, ge=1)
    """Checkpoints of every so many steps are kept too; a multiple of `checkpoint_every`."""
    best_by: Literal[
        "loss",
        "loss_channel_0",
        "eos_loss",
        "accuracy",
        "retrieval",
        "distortion",
        "stopped",
        "length",
    ] = "loss"
    """What the best checkpoint is best by, on the validation clips. The last four are heard: the
    texts of `evaluate.speech_clips` clips are spoken and compared with the clips."""
    speech_every: int | None = Field(default=None, ge=1)
    """Steps between measurements of speech; none: at every validation if `best_by` is heard."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Ends the run after so many measurements of `best_by` in a row without a better one."""
    spike_deviations: float = Field(default=8.0, gt=0)
    """Mean deviations above the mean of the last steps from where on a loss counts as a jump."""
    max_bad_steps: int = Field(default=10, ge=1)
    """Steps in a row with a jump or a gradient that is not finite, before `on_divergence`."""
    on_divergence: Literal["stop", "roll_back"] = "stop"
    """roll_back goes on from the last checkpoint before them with half the rate, three times."""
    stall_seconds: float = Field(default=600.0, gt=0)
    """After so long without progress the run says what it waits for."""
    log_every: int = Field(default=10, ge=1)
    """Steps between records of the training loss."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("say either `steps` or `epochs`, and not both")
        return self

    @model_validator(mode="after")
    def _guidance_of_padded_batches(self) -> Self:
        if self.guided_attention > 0 and self.batching == "packed":
            raise ValueError("`guided_attention` looks at padded batches: leave `batching` at auto")
        return self

    @model_validator(mode="after")
    def _ways_that_go_together(self) -> Self:
        if self.lora is not None and self.freeze:
            raise ValueError("`lora` freezes all weights: leave `freeze` out and name its targets")
        if self.lora is not None and self.optimizer == "adamw8bit":
            raise ValueError("the states of `lora` are small: leave optimizer at adamw")
        if self.weights == "bf16":
            _check_bf16_weights(self)
        return self


def _check_bf16_weights(settings: TrainSettings) -> None:
    """An update at lr 1e-5 is below the resolution of bf16: it has to be rounded stochastically."""
    if settings.lora is None and settings.optimizer != "adamw8bit":
        raise ValueError(
            "weights: bf16 loses the updates of adamw; take optimizer: adamw8bit, which rounds "
            "them stochastically, or lora"
        )
    if settings.precision in ("fp16", "fp32"):
        raise ValueError(f"weights: bf16 cannot compute in {settings.precision}; leave it at auto")
    if settings.ema_decay is not None and settings.lora is None:
        raise ValueError("weights: bf16 cannot hold an average; leave ema_decay out")
