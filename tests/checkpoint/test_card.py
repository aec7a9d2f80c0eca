"""The card of an exported model says what is known of it, and what is not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from fake_audio import write_tone
from helpers import small_model
from tiny_run import SPEC, tiny_recipe, write_corpus

from dialoom.checkpoint import LoadedModel, ModelInfo, load_model
from dialoom.checkpoint.card_facts import MAX_SAMPLES, CardFacts, base_of, facts_of
from dialoom.checkpoint.convert import Format, export_model
from dialoom.model import Revision
from dialoom.observe import METRICS_FILE, SampleRecord, read_metrics
from dialoom.recipe import Recipe
from dialoom.recipe.run import run_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A run beside its corpus; tests do not change it."""
    directory = tmp_path_factory.mktemp("card")
    recipe = tiny_recipe(directory)
    run_recipe(recipe, directory / "run")
    return directory / "run", recipe


def _card(
    out: Path, loaded: LoadedModel, facts: CardFacts, to: Format = Format.TRANSFORMERS
) -> str:
    export_model(loaded, out, to=to, facts=facts)
    return (out / "README.md").read_text(encoding="utf-8")


def test_card_of_a_run(tmp_path: Path, run: tuple[Path, Recipe]) -> None:
    run_dir, recipe = run
    source = str(run_dir / "checkpoints" / "last")
    text = _card(tmp_path / "out", load_model(source), facts_of(source, licence="CC BY\n 4.0"))
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "dialoom", "pipeline_tag": "text-to-speech",
        "tags": ["dia", "text-to-speech", "dialogue"], "license": "other",
        "license_name": "CC BY 4.0", "language": ["en"],
    }  # fmt: skip
    assert recipe.content_hash in body
    assert f"| base | {recipe.model.base} |" in body
    info = json.loads((Path(recipe.data.corpus) / "corpus.json").read_text())
    assert f"- amount: {info['hours']:.2f} h of speech" in body
    assert "- languages: en" in body
    assert "- licence of the data: CC BY 4.0\n" in body
    assert "warmup_steps: 2" in body.partition("## Training")[2]
    assert 'dialoom speak out "[S1] Hello. [S2] Hi!"' in body
    assert "from_local" not in body
    assert "DiaForConditionalGeneration" not in body  # the mini codec: no processor there


def test_losses_per_channel_against_the_base(tmp_path: Path, run: tuple[Path, Recipe]) -> None:
    """The base is the run's own pass before its first step; later steps are not the model's."""
    run_dir, _ = run
    passes = read_metrics(run_dir / METRICS_FILE).valid
    assert [record.step for record in passes] == [0, 3, 6]
    for step, last in ((6, passes[2]), (4, passes[1])):
        source = str(run_dir / "checkpoints" / f"step_{step:08d}")
        text = _card(tmp_path / f"out{step}", load_model(source), facts_of(source))
        rows = [line for line in text.splitlines() if line.count("|") == 13]
        table = {row.split(" | ")[0]: row for row in rows if "---" not in row}
        assert list(table) == ["| step", "| base", f"| {last.step}", "| change"]
        numbers = [f"{x:.3f}" for x in (last.loss, *last.loss_channels, last.eos_loss)]
        assert table[f"| {last.step}"] == f"| {last.step} | " + " | ".join(numbers) + " |"
        change = last.loss_channels[8] - passes[0].loss_channels[8]
        assert table["| change"].split(" | ")[10] == f"{change:+.3f}"


def test_checkpoint_before_any_second_pass_is_the_base(
    tmp_path: Path, run: tuple[Path, Recipe]
) -> None:
    source = str(run[0] / "checkpoints" / "step_00000002")
    text = _card(tmp_path / "out", load_model(source), facts_of(source))
    assert "| change |" not in text


def test_what_a_run_has_lost_is_left_out(tmp_path: Path, run: tuple[Path, Recipe]) -> None:
    """A moved corpus, no metrics, half a recipe: the model is exported all the same."""
    run_dir = shutil.copytree(run[0], tmp_path / "run", symlinks=True)
    source = str(run_dir / "checkpoints" / "last")
    (run_dir / METRICS_FILE).unlink()
    facts = facts_of(source)
    assert facts.losses == ()
    assert facts.hours is not None
    recipe = yaml.safe_load((run_dir / "recipe.yaml").read_text())
    recipe["data"]["corpus"] = "gone"
    (run_dir / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert facts_of(source).hours is None
    assert "- amount: not known" in _card(tmp_path / "out", load_model(source), facts_of(source))
    (run_dir / "recipe.yaml").write_text("model: [")
    assert facts_of(source) == CardFacts()


def test_corpus_is_found_from_where_the_run_was_started(
    tmp_path: Path, run: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe may name it relatively, and the conversion may be started elsewhere."""
    project = tmp_path / "project"
    run_dir = shutil.copytree(run[0], project / "runs" / "a", symlinks=True)
    shutil.copytree(run[1].data.corpus, project / "corpora" / "mine")
    recipe = yaml.safe_load((run_dir / "recipe.yaml").read_text())
    recipe["data"]["corpus"] = "corpora/mine"
    (run_dir / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(tmp_path)
    assert facts_of("project/runs/a/checkpoints/last").languages == ("en",)


def test_the_base_of_a_run_and_of_an_adapter_is_found(
    tmp_path: Path, run: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from elsewhere; what comes by its own name, and what names none, has none."""
    base = run[1].model.base
    assert base_of(str(run[0])) == base_of(str(run[0] / "checkpoints" / "step_00000002")) == base
    run_dir = shutil.copytree(run[0], tmp_path / "project" / "runs" / "a", symlinks=True)
    recipe = yaml.safe_load((run_dir / "recipe.yaml").read_text())
    (run_dir / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"model": {"base": "my-base"}}))
    monkeypatch.chdir(tmp_path)
    assert base_of("project/runs/a") == "my-base"
    (tmp_path / "project" / "my-base").mkdir()
    assert base_of("project/runs/a") == str(tmp_path / "project" / "my-base")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "nari-labs/Dia-1.6B-0626"})
    )
    assert base_of("adapter") == "nari-labs/Dia-1.6B-0626"
    assert base_of("mini") is base_of("nari-labs/Dia-1.6B-0626") is base_of("project") is None


def test_hours_of_another_corpus_are_not_told(
    tmp_path: Path, run: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a relative name another corpus may stand where the conversion is started."""
    project = tmp_path / "project"
    run_dir = shutil.copytree(run[0], project / "runs" / "a", symlinks=True)
    recipe = yaml.safe_load((run_dir / "recipe.yaml").read_text())
    recipe["data"]["corpus"] = "corpus"
    (run_dir / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus", num_clips=5)
    source = "project/runs/a/checkpoints/last"
    assert (facts_of(source).hours, facts_of(source).languages) == (None, ())
    shutil.copytree(run[1].data.corpus, project / "corpus")
    expected = json.loads((project / "corpus" / "corpus.json").read_text())["hours"]
    assert facts_of(source).hours == expected
    (run_dir / "checkpoints" / "last" / "training" / "state.pt").unlink()
    assert facts_of(source).hours is None


def test_last_samples_of_the_run(tmp_path: Path, run: tuple[Path, Recipe]) -> None:
    run_dir = shutil.copytree(run[0], tmp_path / "run", symlinks=True)
    records = [
        SampleRecord(step, name, f"[S1] {name}.", f"samples/step_{step}/{name}.wav", 9, True)
        for step in (0, 3, 6, 9)
        for name in ("lost", "a", "b", "c", "d")
    ]
    with (run_dir / METRICS_FILE).open("a", encoding="utf-8") as file:
        for record in records:
            fields = {name: getattr(record, name) for name in ("step", "name", "text")}
            rest = {"audio_path": record.audio_path, "num_frames": 9, "stopped": True}
            line = {"kind": "sample", **fields, **rest, "reference_path": None, "time": 1.0}
            file.write(json.dumps(line) + "\n")
            if record.name != "lost":
                path = run_dir / record.audio_path
                path.parent.mkdir(parents=True, exist_ok=True)
                write_tone(path)
    source = str(run_dir / "checkpoints" / "step_00000006")
    body = _card(tmp_path / "out", load_model(source), facts_of(source))
    for name in "abc":
        assert f"- [[S1] {name}.](samples/{name}.wav)" in body
        copied = tmp_path / "out" / "samples" / f"{name}.wav"
        assert copied.read_bytes() == (run_dir / f"samples/step_6/{name}.wav").read_bytes()
    assert len(list((tmp_path / "out" / "samples").iterdir())) == MAX_SAMPLES
    assert "lost" not in body
    assert facts_of(str(run_dir / "checkpoints" / "step_00000002")).samples == ()  # its base's


def test_nothing_is_known(tmp_path: Path) -> None:
    loaded = LoadedModel(small_model(), ModelInfo())
    body = _card(tmp_path / "out", loaded, CardFacts(), Format.NARI)
    assert "none: not trained by dialoom" in body
    assert "| base | not known |" in body
    assert "- licence of the data: unknown: nobody stated it" in body
    assert 'Dia.from_local("out/config.json", "out/dia-v0_1.pth")' in body
    assert "from commit 65028e0 on" in body
    assert "transformers refuses this directory" in body
    assert "`dialoom convert out OUT --to transformers`" in body
    april = LoadedModel(small_model(Revision.APRIL_2025), ModelInfo())
    assert "--to transformers" not in _card(tmp_path / "a", april, CardFacts(), Format.NARI)


def test_base_is_named_where_the_source_says_it(tmp_path: Path) -> None:
    assert facts_of("nari-labs/Dia-1.6B-0626").base == "nari-labs/Dia-1.6B-0626"
    assert facts_of(str(tmp_path)).base is None
    facts = facts_of("someone/dia-of-mine@v2")
    text = _card(tmp_path / "out", LoadedModel(small_model(), ModelInfo()), facts)
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "someone/dia-of-mine"
    (tmp_path / "adapter").mkdir()
    config = {"base_model_name_or_path": "someone/dia"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    assert facts_of(str(tmp_path / "adapter")).base == "someone/dia"


@pytest.mark.parametrize("model_type", ["dac", "mimi"])
def test_transformers_lines_only_with_a_dac(tmp_path: Path, model_type: str) -> None:
    """Whatever the codec's directory is called."""
    (tmp_path / "mydac").mkdir()
    (tmp_path / "mydac" / "config.json").write_text(json.dumps({"model_type": model_type}))
    info = ModelInfo(codec=replace(SPEC, name=str(tmp_path / "mydac")))
    body = _card(tmp_path / "out", LoadedModel(small_model(), info), CardFacts())
    assert ("AutoProcessor.from_pretrained" in body) == (model_type == "dac")
    assert (tmp_path / "out/processor_config.json").exists() == (model_type == "dac")


@pytest.mark.parametrize(
    ("base", "licence", "fields"),
    [
        ("mini", "CC0-1.0", {"license": "cc0-1.0"}),
        (None, None, {"license": "unknown"}),
        (None, " ", {"license": "unknown"}),
        ("nari-labs/Dia-1.6B-0626", "cc0-1.0", {"license": "unknown"}),
    ],
)
def test_licence_at_the_top_is_the_stated_one(
    tmp_path: Path, base: str | None, licence: str | None, fields: dict[str, str]
) -> None:
    """But for what was trained on a model of the Hub, whose own licence is not known here."""
    facts = CardFacts(base=base, licence=licence)
    text = _card(tmp_path / "out", LoadedModel(small_model(), ModelInfo()), facts)
    front = yaml.safe_load(text.split("---\n", 2)[1])
    assert {key: value for key, value in front.items() if "license" in key} == fields
