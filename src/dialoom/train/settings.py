"""What a recipe says under `train`."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(BaseModel):
    """How to train. Field descriptions are the reference of the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """Micro-batches per optimizer step; the gradient is that of one large batch."""
    lr: float = Field(default=1e-5, gt=0)
    """Peak learning rate; 1e-5 … 2e-5 for fine-tuning Dia-1.6B."""
    warmup_steps: int = Field(default=200, ge=0)
    """Steps in which the rate rises from 0 to `lr`."""
    schedule: Literal["cosine", "constant", "wsd"] = "cosine"
    """How the rate goes on after the warm-up; wsd stays and falls linearly in `decay_steps`."""
    decay_steps: int = Field(default=0, ge=0)
    """Last steps in which wsd falls; a run prolonged by `train.steps` just stays for longer."""
    final_lr_ratio: float = Field(default=0.1, ge=0, le=1)
    """Where cosine and wsd end, as a share of `lr`."""
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
    guided_attention: float = Field(default=0.0, ge=0)
    """Nats per step that cross-attention far from the diagonal costs; for new models, 20."""
    query_key_lr_ratio: float = Field(default=1.0, gt=0, le=1)
    """Rate of query and key projections as a share of `lr`; for new models, 0.35."""
    channel_weights: tuple[float, ...] | None = None
    """Weight of each channel's loss; none is 1 each. The log is raw always."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 is autocast over fp32 weights; auto takes it where the processor computes in it."""
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
