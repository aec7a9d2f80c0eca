"""What a person wants to know before the first step."""

from statistics import median

from dialoom.checkpoint import LoadedModel
from dialoom.data import Clips, Mixture
from dialoom.observe import DataRecord, EventRecord, RunObserver
from dialoom.text import TagTable
from dialoom.train import num_trained


def announce(
    observer: RunObserver,
    corpus: Mixture,
    datasets: tuple[Clips, Clips],
    loaded: LoadedModel,
    *,
    step: int,
) -> None:
    """Records the data, and tells what is trained on what."""
    training, validation = datasets
    observer.data(_data_record(corpus, datasets, step=step))
    valid = f"{len(validation)} for validation" if len(validation) else "no validation clips"
    total, trained = loaded.model.num_parameters, num_trained(loaded.model)
    share = "" if trained == total else f" of which {trained / 1e6:.2f} M train"
    parts = [
        f"{'training' if step == 0 else f'going on after step {step}'}: "
        f"{total / 1e6:.1f} M parameters{share}, {len(training)} clips, {valid}"
    ]
    if left_out := training.num_left_out + validation.num_left_out:
        parts.append(f"{left_out} clips are beyond a limit and left out")
    if untagged := _untagged_languages(training, loaded.info.tags):
        parts.append(f"no tag for {', '.join(untagged)}: such texts get none (model.tags)")
    observer.event(EventRecord(step, "; ".join(parts)))


def _data_record(corpus: Mixture, datasets: tuple[Clips, Clips], *, step: int) -> DataRecord:
    training, validation = datasets
    rate = corpus.codec.frames_per_second
    seconds = sum(training.lengths) / rate
    return DataRecord(
        step=step,
        corpus=corpus.name,
        codec=corpus.codec.name,
        num_clips=len(training),
        num_valid_clips=len(validation),
        num_left_out=training.num_left_out + validation.num_left_out,
        seconds=seconds,
        valid_seconds=sum(validation.lengths) / rate,
        longest_s=max(training.lengths) / rate,
        median_s=median(training.lengths) / rate,
        languages=", ".join(training.languages),
        text_bytes_per_second=sum(training.text_lengths) / seconds,
    )


def _untagged_languages(dataset: Clips, tags: TagTable) -> list[str]:
    return [name for name in dataset.languages if f"[{name}]" not in tags.bytes_of_tags]
