"""The loop: step, log, validate, speak, checkpoint; from the first step or from any checkpoint."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Any

from dialoom.checkpoint import RunStore, load_training_state
from dialoom.data import Batch
from dialoom.errors import DataError, RecipeError, TrainingDiverged
from dialoom.model import DiaModel
from dialoom.observe import EventRecord, RunObserver
from dialoom.train.average import average_of
from dialoom.train.best import Best
from dialoom.train.distributed import Ranks
from dialoom.train.ear import Ear
from dialoom.train.feed import BatchFeed, Position
from dialoom.train.memory_probe import probe_memory
from dialoom.train.meter import Meter
from dialoom.train.objective import build_objective
from dialoom.train.optimizer import build_optimizer, learning_rate, moment_bytes, set_learning_rate
from dialoom.train.outcome import Outcome
from dialoom.train.precision import autocast
from dialoom.train.probe import Probe
from dialoom.train.random_state import random_state, restore_random_state
from dialoom.train.replica import build_replica
from dialoom.train.saver import Saver, restore_optimizer
from dialoom.train.settings import TrainSettings
from dialoom.train.shares import shares_of
from dialoom.train.signals import StopRequest
from dialoom.train.stability import BadSteps, Health, block_norms
from dialoom.train.step import StepResult, train_step, with_dropout
from dialoom.train.validation import Validation
from dialoom.train.watch import StallWatch

PROBE_PASSES = 3

MAX_ROLL_BACKS = 3
"""How often a run goes back to a checkpoint before it gives up; each time with half the rate."""


class Trainer:
    """Trains a model on a feed of batches, alone or as one of several ranks."""

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
        ranks: Ranks | None = None,
    ) -> None:
        """Takes a model on the device to train on, as `prepare_model` made it."""
        self.model = model.train()
        self._feed = feed
        self._settings = settings
        self._observer = observer
        self._ranks = ranks or Ranks()
        self._device = model.logits_dense.weight.device
        context = autocast(self._device, settings)
        self._objective = build_objective(model, settings, context)
        self._replica = build_replica(model, self._objective, self._ranks, settings)
        self._optimizer = build_optimizer(model, settings)
        self._average = average_of(model, settings)
        self._validation = Validation(valid_batches, self._replica)
        self._ear = Ear(
            probe, self._replica, observer, ranks=self._ranks, shown_weights=self._shown_weights
        )
        self._saver = Saver(store, self._replica)
        self.total_steps = planned_steps(settings, feed.batches_per_epoch)
        self.step = 0
        self._best = Best(settings.best_by, settings.early_stopping_patience)
        self._best_loss = float("inf")
        self._lr_scale = 1.0
        self._health = Health(settings, observer, self._ranks)
        self._watch = StallWatch(settings.stall_seconds)
        self._replica.budget.report = self._tell
        self._saved_step: int | None = None
        self._stop = StopRequest()

    def run(self) -> Outcome:
        """Trains to the last step, or until a signal asks to stop; either way a checkpoint is left.

        Raises:
            TrainingDiverged: too many bad steps in a row.
            TrainingError: memory ends where nothing can be made smaller.
            CheckpointError: a checkpoint cannot be written; those before it are whole.
        """
        with self._stop, self._watch:
            try:
                self._probe_memory()
                self._measure_base()
                while not self._train():
                    pass
            finally:
                self._saver.wait()
        return Outcome(
            self.step,
            finished=self._is_over,
            best_loss=self._best_loss if self._best_loss < float("inf") else None,
        )

    def _probe_memory(self) -> None:
        """Tries the largest micro-batch; the run's numbers stay what they are without it."""
        passes = self._settings.probe_passes
        if passes is None:
            passes = PROBE_PASSES if self._device.type == "cuda" else 0
        if passes:
            largest = self._feed.largest()
            to_come = 0 if self._optimizer.state else moment_bytes(self.model, self._settings)
            warning = probe_memory(self._replica, largest, passes, moments_to_come=to_come)
            if warning:
                self._tell(warning)

    def _measure_base(self) -> None:
        """Row 0 of every later figure: what the model is before it is trained."""
        if self.step > 0:
            return
        self._validate()
        if self._speech_every is not None:
            self._measure_speech()
        if self._settings.sample_at_start:
            self._speak()

    @property
    def _is_over(self) -> bool:
        return self.step == self.total_steps or self._best.is_final

    @property
    def _speech_every(self) -> int | None:
        settings = self._settings
        return settings.speech_every or (settings.valid_every if self._best.is_heard else None)

    def _train(self) -> bool:
        """Steps until the end, or until it is necessary to begin anew from a checkpoint: False."""
        meter = Meter(self.total_steps - self.step, self._ranks)
        with closing(self._batches()) as batches:
            try:
                while not self._is_over and not self._ranks.any(self._stop.requested):
                    self._saver.check()
                    started = time.perf_counter()
                    result = self._advance(batches)
                    meter.add(result, time.perf_counter() - started)
                    self._after_step(meter, result)
            except BadSteps as bad:
                self._roll_back(bad)
                return False
            if self._saved_step != self.step:
                self._save(is_best=False)
        return True

    def _roll_back(self, bad: BadSteps) -> None:
        """Goes back to the last checkpoint before the first bad step, with half the rate.

        Raises:
            TrainingDiverged: the recipe says so, there is no such checkpoint, or it did not help.
        """
        self._saver.wait()
        checkpoint = self._ranks.ask_first(lambda: self._saver.store.last_before(bad.first))
        num_halved = -math.log2(self._lr_scale)
        may = self._settings.on_divergence == "roll_back" and num_halved < MAX_ROLL_BACKS
        if not may or checkpoint is None:
            raise TrainingDiverged(bad.diagnosis())
        scale = self._lr_scale / 2
        self._replica.load_weights(checkpoint)
        self.restore(load_training_state(checkpoint))
        self._lr_scale = scale
        self._observer.event(
            EventRecord(
                self.step,
                f"steps {bad.first} to {bad.last} were bad: back to step {self.step}, with "
                f"{scale:g} of the rate",
            )
        )

    def _batches(self) -> Generator[list[Batch], None, None]:
        """This rank's micro-batches of every step to come, with what is dropped from them."""
        settings, layout = self._settings, self.model.config.layout

        def alter(batch: Batch, step: int, number: int) -> Batch:
            return with_dropout(batch, settings, layout, step=step, number=number)

        accumulate = settings.accumulate
        shares = shares_of(self._ranks.rank, self._ranks.world_size, accumulate)
        return self._feed.steps(
            self.step, shares, accumulate=accumulate, alter=alter, pad_id=layout.pad_id
        )

    def _advance(self, batches: Iterator[list[Batch]]) -> StepResult:
        """One optimizer step."""
        set_learning_rate(self._optimizer, self._lr())
        with self._watch.stage("data"):
            micro_batches = next(batches)
        with self._watch.stage("forward, backward and update"):
            result = train_step(
                self.model,
                micro_batches,
                self._optimizer,
                self._objective,
                self._replica.accumulate,
            )
        self.step += 1
        clip_ids = tuple(name for batch in micro_batches for name in batch.clip_ids)
        self._health.add(self.step, result, clip_ids)
        if self._average is not None:
            self._average.update()
        return result

    def _after_step(self, meter: Meter, result: StepResult) -> None:
        """Whatever is due now; all of it after the last step."""
        settings, step = self._settings, self.step
        is_last = step == self.total_steps
        if is_last or step % settings.log_every == 0:
            self._log(meter, result)
        is_best = False
        if is_last or step % settings.valid_every == 0:
            is_best = self._validate()
        if self._speech_every is not None and (is_last or step % self._speech_every == 0):
            is_best |= self._measure_speech()
        if self._is_over or is_best or step % settings.checkpoint_every == 0:
            self._save(is_best=is_best)
        if self._is_over or (settings.sample_every and step % settings.sample_every == 0):
            self._speak()
        if self._best.is_final and not is_last:
            self._tell(
                f"stopped early: by {self._best.name} nothing was better than step "
                f"{self._best.step} in {self._best.waited} measurements"
            )

    def _log(self, meter: Meter, result: StepResult) -> None:
        """The only place, besides validations, where the host waits for the device."""
        with self._watch.stage("the results of the steps"):
            position = self._feed.position
            epoch = position.epoch + position.batch / self._feed.batches_per_epoch
            record = meter.record(self.step, epoch, lr=self._lr(self.step - 1))
            norms = block_norms(self.model, result, self._settings.clip_norm)
            self._observer.train(replace(record, block_norms=norms))
            for stall in self._watch.take_stalls():
                self._tell(stall)
            self._health.examine()

    def _tell(self, message: str) -> None:
        self._observer.event(EventRecord(self.step, message))

    def _save(self, *, is_best: bool) -> None:
        with self._watch.stage("the checkpoint"), self._shown_weights():
            self._saver.save(self._optimizer, self.state(), self.step, is_best=is_best)
        self._saved_step = self.step

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on as if nothing had happened, but weights and moments."""
        scaler = self._objective.scaler
        return {
            "step": self.step,
            "corpus": self._feed.fingerprint,
            "epoch": self._feed.position.epoch,
            "batch": self._feed.position.batch,
            "best": self._best.state(),
            "lr_scale": self._lr_scale,
            "max_cells": self._replica.budget.max_cells,
            "loss_bound": self._health.bound.state(),
            "best_loss": self._best_loss,
            "scaler": None if scaler is None else scaler.state_dict(),
            "ema": None if self._average is None else self._average.state(),
            **random_state(self._device),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`; the weights are restored by whoever loaded the model.

        Args:
            state: of `load_training_state`, with the moments of the optimizer.

        Raises:
            DataError: the clips are others than those that the position was counted in.
            RecipeError: the run has more steps behind it than the recipe asks for.
        """
        if state["corpus"] != self._feed.fingerprint:
            raise DataError(
                "data.corpus is not the corpus that the run was started with: its clips changed; "
                "put it back, or start a new run from the checkpoint with model.base"
            )
        if state["step"] > self.total_steps:
            raise RecipeError(
                f"the run is at step {state['step']} already, train.steps or train.epochs ask for "
                f"{self.total_steps} in all: ask for more"
            )
        self.step = self._saved_step = state["step"]
        self._feed.position = Position(state["epoch"], state["batch"])
        self._best_loss = state["best_loss"]
        self._best.restore(state["best"])
        self._lr_scale = state.get("lr_scale", 1.0)
        self._replica.budget.lower(state.get("max_cells"))
        if "loss_bound" in state:
            self._health.bound.restore(state["loss_bound"])
        restore_optimizer(self._replica, self._optimizer, state)
        if self._objective.scaler is not None:
            self._objective.scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.restore(state["ema"], applied=self._settings.use_ema)
        restore_random_state(state, self._device)

    def _lr(self, step: int | None = None) -> float:
        step = self.step if step is None else step
        return self._lr_scale * learning_rate(step, self.total_steps, self._settings)

    def _shown_weights(self) -> AbstractContextManager[None]:
        """The averaged weights inside the block, where the recipe has them."""
        if self._average is None or not self._settings.use_ema:
            return nullcontext()
        return self._average.applied()

    def _validate(self) -> bool:
        """Logs the validation's figures and says whether they are the best of training so far."""
        if not self._validation:
            return False
        with self._watch.stage("the validation"), self._shown_weights():
            record = self._validation.measure(self.step)
        self._observer.valid(record)
        if self.step == 0:
            return False
        self._best_loss = min(self._best_loss, record.loss)
        return self._best.see(record)

    def _measure_speech(self) -> bool:
        """Likewise of the validation texts, spoken."""
        with self._watch.stage("measuring speech"):
            record = self._ear.measure(self.step)
        return record is not None and self.step > 0 and self._best.see(record)

    def _speak(self) -> None:
        with self._watch.stage("the samples"):
            self._ear.hear(self.step, is_enough=lambda: self._stop.requested)


def planned_steps(settings: TrainSettings, batches_per_epoch: int) -> int:
    """Optimizer steps of a whole run."""
    if settings.steps is not None:
        return settings.steps
    assert settings.epochs is not None, "settings name steps or epochs"
    return max(1, round(settings.epochs * batches_per_epoch / settings.accumulate))
