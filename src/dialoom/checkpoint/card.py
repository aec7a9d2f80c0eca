"""README.md of an exported model: what it is, where it comes from, how to use it."""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from dialoom.checkpoint.adapter import Adapter
from dialoom.checkpoint.card_facts import CardFacts
from dialoom.checkpoint.pretrained import LoadedModel
from dialoom.checkpoint.processor_files import is_dac
from dialoom.model import Revision
from dialoom.observe import SampleRecord, ValidRecord

CARD_FILE = "README.md"
_TAGS = ("dia", "text-to-speech", "dialogue")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""What the Hub's ids of licences look like, such as cc-by-4.0."""


def write_card(
    directory: Path, loaded: LoadedModel, facts: CardFacts, *, name: str, to: str
) -> None:
    """Writes README.md, and copies the samples that it shows."""
    samples = [record for record in facts.samples if _copy_sample(record, facts, directory)]
    sections = [
        _front_matter(facts, library="dialoom"),
        f"# {name}",
        _description(loaded, facts),
        "## Use",
        _usage(loaded, name=name, to=to),
        "## Data",
        _data(facts),
    ]
    if facts.training:
        settings = yaml.safe_dump(dict(facts.training), sort_keys=False, allow_unicode=True)
        sections += ["## Training", f"```yaml\n{settings}```"]
    if facts.losses:
        sections += ["## Losses", _losses(facts.losses)]
    if samples:
        said = [f"- [{record.text}](samples/{Path(record.audio_path).name})" for record in samples]
        sections += ["## Samples", "\n".join(said)]
    _write(directory, sections)


def write_adapter_card(
    directory: Path, adapter: Adapter, facts: CardFacts, *, name: str, dtype: str
) -> None:
    """Writes README.md of an adapter that goes without its base."""
    config = adapter.config
    modules = config.get("target_modules") or ()
    rows = [
        ("base", adapter.base),
        ("rank, alpha", f"{config.get('r')}, {config.get('lora_alpha')}"),
        ("modules", modules if isinstance(modules, str) else ", ".join(sorted(modules))),
        ("tensors", f"{len(adapter.weights)}, {dtype}"),
    ]
    use = ["```bash", f'dialoom speak {name} "[S1] Hello. [S2] Hi!" -o hello.wav', "```"]
    use += [
        "Where the base is a directory of transformers, revision 0626:",
        "```python",
        "from peft import PeftModel",
        "from transformers import DiaForConditionalGeneration",
        f'base = DiaForConditionalGeneration.from_pretrained("{_repository(adapter.base)}")',
        f'model = PeftModel.from_pretrained(base, "{name}")',
        "```",
    ]
    sections = [
        _front_matter(facts, library="peft"),
        f"# {name}",
        f"A LoRA adapter of a Dia text-to-speech model.\n\n{_table(rows)}",
        "## Use",
        "\n".join(use),
        "## Data",
        _data(facts),
    ]
    _write(directory, sections)


def _write(directory: Path, sections: list[str]) -> None:
    (directory / CARD_FILE).write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _front_matter(facts: CardFacts, *, library: str) -> str:
    """What the Hub reads; a licence is its publisher's to state, so it is not guessed."""
    data: dict[str, Any] = {
        "library_name": library,
        "pipeline_tag": "text-to-speech",
        "tags": [*_TAGS, *(["lora"] if library == "peft" else [])],
        **_licence_fields(facts),
    }
    if facts.languages:
        data["language"] = list(facts.languages)
    if (base := _hub_base(facts)) is not None:
        data["base_model"] = base
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"


def _licence_fields(facts: CardFacts) -> dict[str, str]:
    """As the Hub wants them: `license` is one of its ids, another is named in a second field.

    What was trained on a model of the Hub is under that model's licence too, which is not read.
    """
    licence = _stated_licence(facts)
    if not licence or _hub_base(facts) is not None:
        return {"license": "unknown"}
    if _LICENCE_ID.fullmatch(licence.lower()):
        return {"license": licence.lower()}
    return {"license": "other", "license_name": licence}


def _stated_licence(facts: CardFacts) -> str:
    return " ".join((facts.licence or "").split())


def _hub_base(facts: CardFacts) -> str | None:
    """The base's repository, where it is one of the Hub and no directory."""
    base = None if facts.base is None else _repository(facts.base)
    if base is None or Path(base).exists() or not _HUB_ID.fullmatch(base):
        return None
    return base


def _repository(base: str) -> str:
    """Without the revision on the Hub."""
    return base if Path(base).exists() else base.partition("@")[0]


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {key} | {value} |" for key, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


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
    return f"A Dia text-to-speech model.\n\n{_table(rows)}"


def _usage(loaded: LoadedModel, *, name: str, to: str) -> str:
    lines = ["```bash", f'dialoom speak {name} "[S1] Hello. [S2] Hi!" -o hello.wav', "```"]
    if to == "nari":
        lines += [
            "```python",
            f"# {_nari_code(loaded)}",
            "from dia.model import Dia",
            f'model = Dia.from_local("{name}/config.json", "{name}/dia-v0_1.pth")',
            "```",
            "transformers refuses this directory: tensors have other names and shapes there"
            + ("." if _is_april(loaded) else f"; `dialoom convert {name} OUT --to transformers`."),
        ]
    elif is_dac(loaded.info.codec):
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


def _is_april(loaded: LoadedModel) -> bool:
    return loaded.model.config.revision is Revision.APRIL_2025


def _nari_code(loaded: LoadedModel) -> str:
    return f"nari-labs/dia, {'before' if _is_april(loaded) else 'from'} commit 65028e0 on"


def _data(facts: CardFacts) -> str:
    hours = "not known" if facts.hours is None else f"{facts.hours:.2f} h of speech"
    languages = ", ".join(facts.languages) or "not known"
    licence = _stated_licence(facts)
    return (
        f"- amount: {hours}\n- languages: {languages}\n- licence of the data: "
        + (licence or "unknown: nobody stated it (`dialoom convert --licence` does)")
        + "\n- licence of the model: its publisher states it at the top"
    )


def _losses(records: tuple[ValidRecord, ...]) -> str:
    """Nats per target of each channel; a run measures its base before the first step."""
    rows = [
        (f"{record.step or 'base'}", (record.loss, *record.loss_channels, record.eos_loss))
        for record in records
    ]
    lines = [f"| {name} | " + " | ".join(f"{x:.3f}" for x in row) + " |" for name, row in rows]
    if len(rows) > 1 and records[0].step == 0:
        changes = [after - before for before, after in zip(rows[0][1], rows[-1][1], strict=True)]
        lines += ["| change | " + " | ".join(f"{x:+.3f}" for x in changes) + " |"]
    channels = range(len(records[0].loss_channels))
    head = "| step | mean | " + " | ".join(f"channel {c}" for c in channels) + " | EOS |"
    rule = "|---" * (len(channels) + 3) + "|"
    note = f"Validation, {records[-1].num_clips} clips, nats per target."
    return "\n".join([note, "", head, rule, *lines])


def _copy_sample(record: SampleRecord, facts: CardFacts, directory: Path) -> bool:
    assert facts.run_dir is not None, "samples are those of a run"
    source = facts.run_dir / record.audio_path
    if not source.is_file():
        return False
    (directory / "samples").mkdir(exist_ok=True)
    shutil.copyfile(source, directory / "samples" / source.name)
    return True
