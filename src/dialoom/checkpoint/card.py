"""README.md of an exported model: what it is, where it comes from, how to use it."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dialoom.checkpoint.pretrained import LoadedModel
from dialoom.checkpoint.store import read_json
from dialoom.errors import CheckpointError, DataError
from dialoom.model import Revision
from dialoom.observe import METRICS_FILE, SampleRecord, ValidRecord, read_metrics

CARD_FILE = "README.md"
_MAX_SAMPLES = 3
_STEP_NAME = re.compile(r"step_(\d{8})")
_HOMES = {"nari-labs/Dia-1.6B", "nari-labs/Dia-1.6B-0626"}


@dataclass(frozen=True)
class CardFacts:
    """What is known of a model besides the model; nothing has to be.

    Attributes:
        base: the model it was trained from, or was converted from.
        hours: of speech that it was trained on.
        languages: of that speech.
        losses: of the first and the last validation pass, per channel.
        run_dir: where its samples are.
        samples: what it said at the end of its training.
    """

    base: str | None = None
    hours: float | None = None
    languages: tuple[str, ...] = ()
    losses: tuple[ValidRecord, ...] = ()
    run_dir: Path | None = None
    samples: tuple[SampleRecord, ...] = field(default=())


def facts_of(source: str) -> CardFacts:
    """What can be found out about a MODEL: from the run that a checkpoint stands in, if it does."""
    checkpoint = Path(source).resolve()
    run_dir = checkpoint.parent.parent
    step = _STEP_NAME.fullmatch(checkpoint.name)
    if step is None or not (run_dir / "recipe.yaml").is_file():
        return CardFacts(base=source if source in _HOMES else None)
    recipe = yaml.safe_load((run_dir / "recipe.yaml").read_text(encoding="utf-8"))
    corpus = _corpus_info(recipe)
    try:
        metrics = read_metrics(run_dir / METRICS_FILE)
    except DataError:  # a run without its record is still a run with a recipe
        return CardFacts(base=recipe["model"].get("base"), run_dir=run_dir)
    passes = [record for record in metrics.valid if record.step <= int(step[1])]
    spoken = [record for record in metrics.samples if record.step <= int(step[1])]
    return CardFacts(
        base=recipe["model"].get("base"),
        hours=corpus.get("hours"),
        languages=tuple(corpus.get("languages", ())),
        losses=tuple(dict.fromkeys((passes[0], passes[-1]))) if passes else (),
        run_dir=run_dir,
        samples=tuple(r for r in spoken if r.step == spoken[-1].step)[:_MAX_SAMPLES],
    )


def write_card(
    directory: Path, loaded: LoadedModel, facts: CardFacts, *, name: str, to: str
) -> None:
    """Writes README.md, and copies the samples that it shows."""
    samples = [record for record in facts.samples if _copy_sample(record, facts, directory)]
    sections = [
        _front_matter(loaded, facts),
        f"# {name}",
        _description(loaded, facts),
        "## Use",
        _usage(loaded, name=name, to=to),
        "## Data",
        _data(facts),
    ]
    if facts.losses:
        sections += ["## Losses", _losses(facts.losses)]
    if samples:
        said = [f"- [{record.text}](samples/{Path(record.audio_path).name})" for record in samples]
        sections += ["## Samples", "\n".join(said)]
    text = "\n\n".join(sections) + "\n"
    (directory / CARD_FILE).write_text(text, encoding="utf-8")


def _front_matter(loaded: LoadedModel, facts: CardFacts) -> str:
    """What the Hub reads; the licence is the author's to state, so it is not guessed."""
    data: dict[str, Any] = {
        "library_name": "dialoom",
        "pipeline_tag": "text-to-speech",
        "tags": ["dia", "text-to-speech", "dialogue"],
        "license": "unknown",
    }
    if facts.languages:
        data["language"] = list(facts.languages)
    if facts.base is not None and not Path(facts.base).exists():
        data["base_model"] = facts.base
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"


def _description(loaded: LoadedModel, facts: CardFacts) -> str:
    model, info = loaded.model, loaded.info
    dtype = str(model.logits_dense.weight.dtype).removeprefix("torch.")
    rows = [
        ("parameters", f"{model.num_parameters / 1e6:.1f} M, {dtype}"),
        ("revision of Dia", f"{model.config.revision}"),
        ("base", facts.base or "not known"),
        ("codec", "Dia's (DAC 44.1 kHz)" if info.codec is None else info.codec.name),
        ("tags", ", ".join(info.tags.bytes_of_tags)),
        ("recipe, sha256", info.recipe_hash or "none: not trained by dialoom"),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    return f"A Dia text-to-speech model.\n\n| | |\n|---|---|\n{table}"


def _usage(loaded: LoadedModel, *, name: str, to: str) -> str:
    lines = ["```bash", f'dialoom speak {name} "[S1] Hello. [S2] Hi!" -o hello.wav', "```"]
    if to == "nari":
        lines += [
            "```python",
            f"# {_nari_code(loaded)}",
            "from dia.model import Dia",
            f'model = Dia.from_local("{name}/config.json", "{name}/dia-v0_1.pth")',
            "```",
        ]
    elif loaded.info.codec is None or "dac" in loaded.info.codec.name:
        lines += [
            "```python",
            "from transformers import AutoProcessor, DiaForConditionalGeneration",
            f'processor = AutoProcessor.from_pretrained("{name}")',
            f'model = DiaForConditionalGeneration.from_pretrained("{name}")',
            'inputs = processor(text=["[S1] Hello."], padding=True, return_tensors="pt")',
            "outputs = processor.batch_decode(model.generate(**inputs))",
            'processor.save_audio(outputs, "hello.wav")',
            "```",
        ]
    return "\n".join(lines)


def _nari_code(loaded: LoadedModel) -> str:
    april = loaded.model.config.revision is Revision.APRIL_2025
    return f"nari-labs/dia, {'before' if april else 'from'} commit 65028e0 on"


def _data(facts: CardFacts) -> str:
    hours = "not known" if facts.hours is None else f"{facts.hours:.2f} h of speech"
    languages = ", ".join(facts.languages) or "not known"
    return (
        f"- amount: {hours}\n- languages: {languages}\n"
        "- licence: not stated; whoever publishes this model states it here and at the top"
    )


def _losses(records: tuple[ValidRecord, ...]) -> str:
    """Nats per target of each channel; a run measures its base before the first step."""
    channels = range(len(records[0].loss_channels))
    head = "| step | mean | " + " | ".join(f"channel {c}" for c in channels) + " | EOS |"
    rows = [
        f"| {record.step or 'base'} | {record.loss:.3f} | "
        + " | ".join(f"{loss:.3f}" for loss in record.loss_channels)
        + f" | {record.eos_loss:.3f} |"
        for record in records
    ]
    rule = "|---" * (len(channels) + 3) + "|"
    note = f"Validation, {records[-1].num_clips} clips, nats per target."
    return "\n".join([note, "", head, rule, *rows])


def _copy_sample(record: SampleRecord, facts: CardFacts, directory: Path) -> bool:
    assert facts.run_dir is not None, "samples are those of a run"
    source = facts.run_dir / record.audio_path
    if not source.is_file():
        return False
    (directory / "samples").mkdir(exist_ok=True)
    shutil.copyfile(source, directory / "samples" / source.name)
    return True


def _corpus_info(recipe: dict[str, Any]) -> dict[str, Any]:
    """The corpus may have moved since: then the card knows less."""
    try:
        return read_json(Path(recipe["data"]["corpus"]) / "corpus.json")
    except CheckpointError:
        return {}
