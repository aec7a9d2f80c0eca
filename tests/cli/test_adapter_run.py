"""An adapter as a person makes and uses one: train, go on, speak, hand it on, alone or merged."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import small_model
from tiny_run import write_corpus

from dialoom.checkpoint import ModelInfo, load_model, save_pretrained
from dialoom.cli.main import main
from dialoom.codec import load_codec

pytestmark = pytest.mark.filterwarnings("ignore")  # peft's, about transformers
RECIPE = Path(__file__).parents[2] / "recipes" / "finetune-lora-12gb.yaml"


@pytest.fixture
def dialoom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["dialoom", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    return run


def test_from_a_base_to_what_others_load(
    dialoom: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import peft
    from transformers import DiaForConditionalGeneration

    spec = load_codec("mini").spec
    base = DiaForConditionalGeneration.from_pretrained(_saved(small_model(), tmp_path / "saved"))
    base.save_pretrained(tmp_path / "base")  # as transformers writes it, which names no codec
    write_corpus(tmp_path / "corpus", spec=spec)
    overrides = [
        "model.base=base", "model.codec=mini", "data.corpus=corpus", "train.epochs=null",
        "train.device=cpu", "train.warmup_steps=0", "train.lr=0.01", "train.accumulate=1",
        "evaluate.num_valid_clips=1", "evaluate.max_seconds=0.2", "train.sample_at_start=false",
        "observe.tensorboard=false",
    ]  # fmt: skip
    assert dialoom("train", RECIPE, *overrides, "train.steps=1") == 0
    run = Path("runs/finetune-lora-12gb")
    assert dialoom("train", RECIPE, *overrides, "train.steps=2", "--resume", run) == 0
    assert (tmp_path / run / "samples" / "step_00000002").is_dir(), "the adapter spoke"
    assert dialoom("speak", run, "[S1] Hello.", "-o", "a.wav", "--max-seconds", "0.2") == 0
    assert dialoom("convert", run, "merged", "--to", "transformers") == 0
    assert dialoom("convert", run, "alone", "--to", "adapter") == 0, capsys.readouterr().err
    assert sum(f.stat().st_size for f in Path("alone").iterdir()) < 500_000

    text, audio = torch.tensor([[1, 72, 105]]), torch.randint(0, 1024, (1, 7, 9))
    merged = DiaForConditionalGeneration.from_pretrained("merged")
    base = DiaForConditionalGeneration.from_pretrained("base")
    with torch.no_grad():
        before = base(input_ids=text, decoder_input_ids=audio).logits
        alone = peft.PeftModel.from_pretrained(base, "alone")
        expected = alone(input_ids=text, decoder_input_ids=audio).logits
        found = merged(input_ids=text, decoder_input_ids=audio).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - before).abs().max() > 0.01, "two steps changed something"
    assert load_model("merged").info.codec == spec


def _saved(model: torch.nn.Module, path: Path) -> Path:
    save_pretrained(model, ModelInfo(), path)
    return path
