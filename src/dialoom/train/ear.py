"""The model of the moment speaks: to be heard, and to be measured."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from dialoom.model import DiaModel
from dialoom.observe import EventRecord, RunObserver, SpeechRecord
from dialoom.train.distributed import Ranks
from dialoom.train.probe import Probe
from dialoom.train.replica import Replica


class Ear:
    """Asks the probe, on rank 0; whatever goes wrong there is noted and training goes on.

    A model that is divided among ranks is put together for it, on the device of rank 0. So all
    ranks must ask.
    """

    def __init__(
        self,
        probe: Probe | None,
        replica: Replica,
        observer: RunObserver,
        *,
        ranks: Ranks,
        shown_weights: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Takes the probe, if there is one; `shown_weights` puts averaged weights in place."""
        self._probe = probe
        self._replica = replica
        self._observer = observer
        self._ranks = ranks
        self._shown_weights = shown_weights

    def hear(self, step: int, *, is_enough: Callable[[], bool]) -> None:
        """The sentences of the probe, sent to the observer until it is enough."""
        probe = self._probe
        if probe is None:
            return

        def speak(model: DiaModel) -> None:
            for spoken in probe(model, step):
                self._observer.sample(
                    spoken.record, spoken.samples, sample_rate_hz=spoken.sample_rate_hz
                )
                if is_enough():
                    break

        self._with_whole_model(step, "the samples", speak)

    def measure(self, step: int) -> SpeechRecord | None:
        """What the validation texts sound like, on all ranks; None where it cannot be told."""
        probe = self._probe
        if probe is None:
            return None
        found: list[SpeechRecord | None] = []
        self._with_whole_model(
            step, "measuring speech", lambda model: found.append(probe.measure(model, step))
        )
        record = self._ranks.ask_first(lambda: found[0] if found else None)
        if record is not None:
            self._observer.speech(record)
        return record

    def _with_whole_model(self, step: int, what: str, use: Callable[[DiaModel], None]) -> None:
        own = self._replica.model
        device: torch.device = own.logits_dense.weight.device
        whole = self._replica.put_together()
        if not self._ranks.is_first:
            return
        own.eval()
        try:
            with self._shown_weights():
                use(own if whole is None else whole.to(device))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._observer.event(EventRecord(step, f"{what} failed ({reason})"))
        finally:
            own.train()
