"""From a recipe to a trained model: everything is loaded, checked and wired here."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from dialoom.checkpoint import (
    LoadedModel,
    ModelInfo,
    RunStore,
    load_adapter_files,
    load_model,
    load_training_state,
)
from dialoom.checkpoint.info import SAMPLING_KEYS
from dialoom.data import (
    Batch,
    Clips,
    LengthBucketSampler,
    Mixture,
    choose_evenly,
    collate,
    order_of,
)
from dialoom.data.atomic import atomic_path
from dialoom.data.corpus import refuse_other_codec
from dialoom.errors import DataError, RecipeError, TrainingError
from dialoom.evaluate import write_report
from dialoom.model import PRESETS, DiaModel, Revision, initialize
from dialoom.observe import (
    EventRecord,
    RunObserver,
    SilentObserver,
    TrackerSink,
    check_trackers,
)
from dialoom.recipe.announce import announce
from dialoom.recipe.probe import SentenceProbe
from dialoom.recipe.report_sink import ReportSink
from dialoom.recipe.resuming import RECIPE_FILE, take_run
from dialoom.recipe.settings import Recipe, load_recipe
from dialoom.sequence import layout_for
from dialoom.train import (
    SPEECH_FIGURES,
    BatchFeed,
    Outcome,
    Ranks,
    Trainer,
    TrainSettings,
    check_ways,
    join_ranks,
    packs,
    planned_steps,
    prepare_model,
    refuse_out_of_memory,
    use_tf32,
)


@dataclass(frozen=True)
class RunResult:
    """What a training left behind.

    Attributes:
        run_dir: metrics, checkpoints, samples and report.
        outcome: how it ended.
    """

    run_dir: Path
    outcome: Outcome


def train(
    recipe: str | Path, overrides: list[str] | None = None, *, resume: Path | None = None
) -> RunResult:
    """Trains by a recipe file.

    Args:
        recipe: path of a YAML recipe.
        overrides: "section.key=value".
        resume: directory of a run to go on with; only `train.steps`, `train.epochs` and how often
            things are done may differ from what it was started with.

    Raises:
        UserError: anything that a person can mend, before the first step where possible.
    """
    path = Path(recipe)
    settings = load_recipe(path, overrides)
    run_dir = resume or settings.observe.run_dir or Path("runs") / path.stem
    return run_recipe(settings, run_dir, resume=resume is not None)


def run_recipe(recipe: Recipe, run_dir: Path, *, resume: bool = False) -> RunResult:
    """Trains by a recipe into a directory, which must be new unless the run is resumed.

    Under torchrun every process calls it; the first one alone writes records, samples and report.
    """
    check_ways(recipe.train, base=recipe.model.base)
    check_trackers(recipe.observe.trackers)
    with (
        ExitStack() as held,
        join_ranks(recipe.train.device) as (ranks, device),
        refuse_out_of_memory(),
    ):
        use_tf32(device, enabled=recipe.train.tf32)
        torch.manual_seed(recipe.train.seed)  # of dropout in adapters, and of stochastic rounding
        checkpoint = ranks.ask_first(lambda: take_run(held, recipe, run_dir, resume=resume))
        corpus = Mixture.open(recipe.data.shares)
        loaded = open_model(recipe, corpus, checkpoint)
        datasets = open_datasets(recipe, corpus, loaded)
        _check_best(recipe, validation=datasets[1])
        loaded = replace(loaded, model=loaded.model.to(device))
        feed, valid_batches = open_feeds(recipe, corpus, datasets, loaded)
        state = None if checkpoint is None else load_training_state(checkpoint)
        step = None if state is None else int(state["step"])
        observer = _observe(recipe, run_dir, ranks, feed.batches_per_epoch, resume_step=step)
        try:
            announce(observer, corpus, datasets, loaded, step=step or 0)
            trainer = Trainer(
                loaded.model,
                feed,
                valid_batches,
                recipe.train,
                store=_store(recipe.train, run_dir, loaded.info),
                observer=observer,
                probe=SentenceProbe.wire(recipe.evaluate, loaded.info, datasets, run_dir),
                ranks=ranks,
            )
            if state is not None:
                trainer.restore(state)
            outcome = _run(trainer, observer, run_dir, ranks)
        finally:
            observer.close()
        if ranks.is_first:
            write_report(run_dir)
    return RunResult(run_dir, outcome)


def _run(trainer: Trainer, observer: RunObserver, run_dir: Path, ranks: Ranks) -> Outcome:
    """Trains; of a run that breaks off the report says why."""
    try:
        with refuse_out_of_memory():
            return trainer.run()
    except TrainingError as error:
        observer.event(EventRecord(trainer.step, str(error)))
        if ranks.is_first:
            with suppress(DataError):  # of a run without any figure there is none
                write_report(run_dir)
        raise


def _observe(
    recipe: Recipe, run_dir: Path, ranks: Ranks, batches_per_epoch: int, *, resume_step: int | None
) -> RunObserver:
    """The run's record, opened by the first rank, which also writes down the recipe."""
    if not ranks.is_first:
        return SilentObserver()
    run_dir.mkdir(parents=True, exist_ok=True)
    with atomic_path(run_dir / RECIPE_FILE) as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    observe = recipe.observe
    observer = RunObserver.open(
        run_dir,
        total_steps=planned_steps(recipe.train, batches_per_epoch),
        resume_step=resume_step,
        tensorboard=observe.tensorboard,
    )
    for name in observe.trackers:
        open_tracker = partial(
            TrackerSink,
            name,
            run_dir.resolve(),
            project=observe.project,
            settings=recipe.model_dump(mode="json"),
        )
        observer.add_sink(name, open_tracker)
    observer.add_sink(ReportSink.name, lambda: ReportSink(run_dir))
    return observer


def _store(settings: TrainSettings, run_dir: Path, info: ModelInfo) -> RunStore:
    return RunStore(run_dir, info, keep_last=settings.keep_last, keep_every=settings.keep_every)


def open_model(recipe: Recipe, corpus: Mixture, checkpoint: Path | None) -> LoadedModel:
    """The model to train, with tags, codec and recipe as its checkpoints will tell them."""
    base, lora = recipe.model.base, recipe.train.lora
    source = base if lora is not None else checkpoint or base
    if source is None:
        spec = corpus.codec
        layout = layout_for(
            num_codebooks=spec.num_codebooks,
            codebook_size=spec.codebook_size,
            frames_per_second=spec.frames_per_second,
        )
        config = replace(PRESETS[recipe.model.preset], layout=layout)
        if recipe.model.revision is Revision.APRIL_2025:
            raise RecipeError(
                "model.revision: a new model is of revision 0626; 2025-04 is for bases of that time"
            )
        model = DiaModel(config)
        initialize(model, seed=recipe.train.seed)
        loaded = LoadedModel(model, ModelInfo())
    else:
        revision = None if checkpoint and lora is None else recipe.model.revision
        loaded = load_model(source, revision=revision)
    _check_codec(recipe, corpus, loaded)
    _check_channel_weights(recipe, loaded)
    prepare_model(loaded.model, recipe.train, base=base)
    if lora is not None and checkpoint is not None:
        load_adapter_files(loaded.model, checkpoint)
    tags = recipe.tag_table(loaded.info.tags)
    sampling = {key: getattr(recipe.evaluate, key) for key in SAMPLING_KEYS}
    info = ModelInfo(tags, corpus.codec, recipe.content_hash, sampling)
    return LoadedModel(loaded.model, info)


def _check_codec(recipe: Recipe, corpus: Mixture, loaded: LoadedModel) -> None:
    """Codes of another codec would be noise to the model."""
    layout, spec = loaded.model.config.layout, corpus.codec
    geometry = (layout.num_channels, layout.codebook_size)
    if (spec.num_codebooks, spec.codebook_size) != geometry:
        raise DataError(
            f"corpus {corpus.name}: codec '{spec.name}' has {spec.num_codebooks} codebooks of "
            f"{spec.codebook_size}, the model speaks {geometry[0]} of {geometry[1]}: prepare the "
            "corpus with the model's codec"
        )
    if loaded.info.codec is not None:
        refuse_other_codec(corpus.corpora[0].path, found=spec, expected=loaded.info.codec)
    elif recipe.model.base is not None and spec.name != recipe.model.codec:
        raise DataError(
            f"corpus {corpus.name} was made with codec '{spec.name}', the base names none and is "
            f"taken to speak '{recipe.model.codec}': prepare the corpus with that, or say "
            f"model.codec={spec.name} if the base does speak it"
        )


def _check_best(recipe: Recipe, *, validation: Clips) -> None:
    """Without clips to validate on, nothing is ever best."""
    settings = recipe.train
    wanted = {
        f"train.best_by={settings.best_by}": settings.best_by in SPEECH_FIGURES,
        "train.speech_every": settings.speech_every is not None,
        "train.early_stopping_patience": settings.early_stopping_patience is not None,
    }
    has_enough = len(validation) > 1 and recipe.evaluate.max_valid_clips > 0
    for name, is_wanted in wanted.items():
        if is_wanted and not has_enough:
            raise RecipeError(
                f"{name} needs two validation clips, there are {len(validation)} and "
                f"evaluate.max_valid_clips is {recipe.evaluate.max_valid_clips}: prepare the "
                "corpus with a larger --valid-fraction, or leave it out"
            )


def _check_channel_weights(recipe: Recipe, loaded: LoadedModel) -> None:
    weights, channels = recipe.train.channel_weights, loaded.model.config.layout.num_channels
    if weights is not None and len(weights) != channels:
        raise RecipeError(
            f"train.channel_weights has {len(weights)} weights, the model {channels} channels: "
            "give one for each"
        )


def open_datasets(recipe: Recipe, corpus: Mixture, loaded: LoadedModel) -> tuple[Clips, Clips]:
    """Training clips, and validation clips if there are any; what the model cannot hold is out."""
    config, data = loaded.model.config, recipe.data
    model_frames = config.decoder.max_position_embeddings - config.layout.max_delay - 2
    model_seconds = model_frames / corpus.codec.frames_per_second
    model_bytes = config.encoder.max_position_embeddings
    open_split = partial(
        corpus.dataset,
        max_seconds=min(data.max_seconds or model_seconds, model_seconds),
        max_text_bytes=min(data.max_text_bytes or model_bytes, model_bytes),
        tags=loaded.info.tags,
    )
    training = open_split(split="train")
    return training, open_split(split="valid", may_be_empty=True)


def open_feeds(
    recipe: Recipe,
    corpus: Mixture,
    datasets: tuple[Clips, Clips],
    loaded: LoadedModel,
) -> tuple[BatchFeed, list[Batch]]:
    """The training batches in their order, and the validation batches."""
    settings, config = recipe.train, loaded.model.config
    training, validation = datasets
    packed = packs(settings, loaded.model.logits_dense.weight.device)
    to_batch = partial(
        collate,
        packed=packed,
        layout=config.layout,
        tags=loaded.info.tags,
        frames_per_second=corpus.codec.frames_per_second,
        max_text_bytes=config.encoder.max_position_embeddings,
        max_steps=config.decoder.max_position_embeddings,
    )
    sampler = LengthBucketSampler(
        training.lengths,
        batch_size=settings.batch_size,
        seed=settings.seed,
        max_frames=settings.max_frames_per_batch,
        order=order_of(training, seed=settings.seed),
        text_lengths=training.text_lengths,
        packed=packed,
    )
    feed = BatchFeed(training, sampler, to_batch, fingerprint=corpus.fingerprint)
    return feed, [
        to_batch([validation[index] for index in group])
        for group in _validation_groups(validation, recipe)
    ]


def _validation_groups(validation: Clips, recipe: Recipe) -> list[list[int]]:
    """The same clips at every validation, of all lengths, in batches as large as training's."""
    chosen = choose_evenly(validation, recipe.evaluate.max_valid_clips)
    sampler = LengthBucketSampler(
        [validation.lengths[index] for index in chosen],
        batch_size=recipe.train.batch_size,
        seed=0,
        max_frames=recipe.train.max_frames_per_batch,
    )
    return [[chosen[i] for i in batch] for batch in sampler.epoch_batches(0)]
