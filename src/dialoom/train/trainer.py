"""The loop: step, log, validate, speak, checkpoint; from the first step or from any checkpoint."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32

from dialoom.checkpoint import RunStore
from dialoom.data import Batch
from dialoom.errors import DataError, TrainingDiverged
from dialoom.model import DiaModel
from dialoom.observe import EventRecord, RunObserver, SampleRecord
from dialoom.train.average import average_of
from dialoom.train.feed import BatchFeed, Position
from dialoom.train.meter import Meter, valid_record
from dialoom.train.objective import build_objective
from dialoom.train.optimizer import build_optimizer, learning_rate, set_learning_rate
from dialoom.train.precision import autocast
from dialoom.train.settings import TrainSettings
from dialoom.train.signals import StopRequest
from dialoom.train.step import (
    StepResult,
    evaluate_loss,
    train_step,
    with_dropout,
)

MAX_SKIPPED_STEPS = 10
"""Steps in a row whose gradient is not finite, after which going on is pointless."""


@dataclass(frozen=True)
class Spoken:
    """A sentence that the model said during training."""

    record: SampleRecord
    samples: Float32[np.ndarray, " N"]
    sample_rate_hz: int


@runtime_checkable
class Probe(Protocol):
    """Lets the model of the moment speak; what it raises is noted and never stops the training."""

    def __call__(self, model: DiaModel, step: int) -> Iterator[Spoken]: ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: optimizer steps done.
        finished: False where it was asked to stop early.
        best_loss: lowest validation loss after step 0, nats per target; None if there was none.
    """

    step: int
    finished: bool
    best_loss: float | None


class Trainer:
    """Trains a model on a feed of batches."""

    def __init__(
        self,
        model: DiaModel,
        feed: BatchFeed,
        valid_batches: Sequence[Batch],
        settings: TrainSettings,
        *,
        store: RunStore,
        observer: RunObserver,
        probe: Probe | None = None,
    ) -> None:
        """Takes a model on the device to train on, as `prepare_model` made it."""
        self.model = model.train()
        self._feed = feed
        self._valid_batches = valid_batches
        self._settings = settings
        self._store = store
        self._observer = observer
        self._probe = probe
        self._device = model.logits_dense.weight.device
        self._autocast = autocast(self._device, settings)
        self._optimizer = build_optimizer(model, settings)
        self._objective = build_objective(model, settings, self._autocast)
        self._average = average_of(model, settings)
        self.total_steps = planned_steps(settings, feed.batches_per_epoch)
        self.step = 0
        self._best_loss = float("inf")
        self._skipped = 0
        self._unread: list[tuple[int, StepResult]] = []
        self._saved_step: int | None = None
        self._stop = StopRequest()

    def run(self) -> Outcome:
        """Trains to the last step, or until a signal asks to stop; either way a checkpoint is left.

        Raises:
            TrainingDiverged: gradients stay not finite.
        """
        meter = Meter(self.total_steps - self.step)
        batches = iter(self._feed)
        with self._stop:
            if self.step == 0:
                self._validate()
                if self._settings.sample_at_start:
                    self._speak()
            while self.step < self.total_steps and not self._stop.requested:
                started = time.perf_counter()
                result = self._advance(batches)
                meter.add(result, time.perf_counter() - started)
                self._after_step(meter)
            if self._saved_step != self.step:
                self._save(is_best=False)
        return Outcome(
            self.step,
            finished=self.step == self.total_steps,
            best_loss=self._best_loss if self._best_loss < float("inf") else None,
        )

    def _advance(self, batches: Iterator[Batch]) -> StepResult:
        """One optimizer step."""
        settings = self._settings
        set_learning_rate(self._optimizer, self._lr())
        micro_batches = [
            with_dropout(
                batch, settings, self.model.config.layout, step=self.step, number=number
            ).to(self._device)
            for number, batch in enumerate(islice(batches, settings.accumulate))
        ]
        result = train_step(
            self.model,
            micro_batches,
            self._optimizer,
            self._objective,
        )
        self.step += 1
        self._unread.append((self.step, result))
        if self._average is not None:
            self._average.update()
        return result

    def _after_step(self, meter: Meter) -> None:
        """Whatever is due now; all of it after the last step."""
        settings, step = self._settings, self.step
        is_last = step == self.total_steps
        if is_last or step % settings.log_every == 0:
            self._count_skipped()
            position = self._feed.position
            epoch = position.epoch + position.batch / self._feed.batches_per_epoch
            self._observer.train(meter.record(step, epoch, lr=self._lr(step - 1)))
        is_best = False
        if is_last or step % settings.valid_every == 0:
            is_best = self._validate()
        if is_last or is_best or step % settings.checkpoint_every == 0:
            self._save(is_best=is_best)
        if is_last or (settings.sample_every and step % settings.sample_every == 0):
            self._speak()

    def _save(self, *, is_best: bool) -> None:
        with self._shown_weights():
            self._store.save(self.model, self.state(), self.step, is_best=is_best)
        self._saved_step = self.step

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on as if nothing had happened."""
        scaler = self._objective.scaler
        return {
            "step": self.step,
            "corpus": self._feed.fingerprint,
            "epoch": self._feed.position.epoch,
            "batch": self._feed.position.batch,
            "best_loss": self._best_loss,
            "optimizer": self._optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "scaler": None if scaler is None else scaler.state_dict(),
            "ema": None if self._average is None else self._average.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`; the weights are restored by whoever loaded the model.

        Raises:
            DataError: the clips are others than those that the position was counted in.
        """
        if state["corpus"] != self._feed.fingerprint:
            raise DataError(
                "data.corpus is not the corpus that the run was started with: its clips changed; "
                "put it back, or start a new run from the checkpoint with model.base"
            )
        self.step = self._saved_step = state["step"]
        self._feed.position = Position(state["epoch"], state["batch"])
        self._best_loss = state["best_loss"]
        self._optimizer.load_state_dict(state["optimizer"])
        if self._objective.scaler is not None:
            self._objective.scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.restore(state["ema"], applied=self._settings.use_ema)
        torch.set_rng_state(state["torch_rng"])
        if torch.cuda.is_available() and state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])

    def _lr(self, step: int | None = None) -> float:
        return learning_rate(self.step if step is None else step, self.total_steps, self._settings)

    def _shown_weights(self) -> AbstractContextManager[None]:
        """The averaged weights inside the block, where the recipe has them."""
        if self._average is None or not self._settings.use_ema:
            return nullcontext()
        return self._average.applied()

    def _validate(self) -> bool:
        """Logs the validation loss and says whether it is the best that training has reached."""
        if not self._valid_batches:
            return False
        self.model.eval()
        with self._shown_weights():
            sums = evaluate_loss(self.model, self._valid_batches, self._autocast)
        self.model.train()
        num_clips = sum(len(batch.clip_ids) for batch in self._valid_batches)
        record = valid_record(self.step, sums, num_clips)
        self._observer.valid(record)
        is_best = self.step > 0 and record.loss < self._best_loss
        if is_best:
            self._best_loss = record.loss
        return is_best

    def _speak(self) -> None:
        if self._probe is None:
            return
        self.model.eval()
        try:
            with self._shown_weights():
                for spoken in self._probe(self.model, self.step):
                    self._observer.sample(
                        spoken.record, spoken.samples, sample_rate_hz=spoken.sample_rate_hz
                    )
                    if self._stop.requested:
                        break
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._observer.event(EventRecord(self.step, f"the samples failed ({reason})"))
        finally:
            self.model.train()

    def _count_skipped(self) -> None:
        """Reads which steps were applied: at log points alone, because reading waits for a GPU."""
        unread, self._unread = self._unread, []
        for step, result in unread:
            self._skipped = 0 if result.applied else self._skipped + 1
            if result.applied:
                continue
            self._observer.event(
                EventRecord(step, "the gradient was not finite: the weights were left as they are")
            )
            if self._skipped == MAX_SKIPPED_STEPS:
                raise TrainingDiverged(
                    f"step {step}: {MAX_SKIPPED_STEPS} gradients in a row were not finite; resume "
                    "from the last checkpoint with a lower train.lr, or with train.precision=fp32"
                )


def planned_steps(settings: TrainSettings, batches_per_epoch: int) -> int:
    """Optimizer steps of a whole run."""
    if settings.steps is not None:
        return settings.steps
    assert settings.epochs is not None, "settings name steps or epochs"
    return max(1, round(settings.epochs * batches_per_epoch / settings.accumulate))
