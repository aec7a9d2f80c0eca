"""Runs nari's own code on small models of ours and keeps what it says. README.md beside says how.

    python make_nari_goldens.py 0626 | 2025-04

`dia` of the fitting state must be importable; what it wants of dac and torchaudio is not used.
"""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

for absent in ("dac", "torchaudio"):
    sys.modules[absent] = ModuleType(absent)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dia.layers import DiaModel as NariModel  # noqa: E402
from dia.model import Dia  # noqa: E402
from dia.state import DecoderInferenceState, EncoderInferenceState  # noqa: E402

from dialoom.checkpoint import LoadedModel, ModelInfo  # noqa: E402
from dialoom.checkpoint.convert import Format, export_model  # noqa: E402
from dialoom.model import DiaModel, Revision  # noqa: E402
from golden.nari_case import (  # noqa: E402
    ENDS,
    KEPT_IDS,
    MAX_STEPS,
    PROMPTED,
    TEXTS,
    golden_file,
    golden_model,
    prompt_codes,
    teacher_steps,
)


def load(model: DiaModel) -> Dia:
    """Our model, exported to nari's format and loaded by both of nari's entry points."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "nari"
        export_model(LoadedModel(model, ModelInfo()), out, to=Format.NARI)
        local = Dia.from_local(
            str(out / "config.json"), str(out / "dia-v0_1.pth"), load_dac=False, device="cpu"
        )
        hub = NariModel.from_pretrained(str(out), compute_dtype=torch.float32)
        for name, tensor in hub.state_dict().items():
            assert torch.equal(tensor, local.model.state_dict()[name]), name
        return local


def close_the_gap(dia: Dia) -> None:
    """Gives the last channel's first cell back to what is known.

    nari's prefill is one row shorter than the longest delay: where the last channel still holds
    BOS, or the prompt's last code, it takes what the model predicts. transformers does not.
    """
    prepare = dia._prepare_generation

    def prepare_and_fill(text, prompts, max_tokens=None, **rest):
        state, output = prepare(text, prompts, max_tokens=max_tokens, **rest)
        prompt = prompts[0]
        num_frames = 0 if prompt is None else len(prompt)
        last = dia.config_last_channel
        known = dia.config_bos if prompt is None else int(prompt[-1, last])
        output.generated_tokens[:, num_frames + 15, last] = known
        return state, output

    dia.config_last_channel, dia.config_bos = 8, 1026
    dia._prepare_generation = prepare_and_fill


def greedy(dia: Dia, text: str, prompt: torch.Tensor | None) -> np.ndarray:
    codes = dia.generate(
        text, max_tokens=MAX_STEPS, cfg_scale=3.0, temperature=0.0, top_p=1.0,
        cfg_filter_top_k=45, audio_prompt=prompt,
    )  # fmt: skip
    return codes.astype(np.int16)


@torch.inference_mode()
def teacher_forced(dia: Dia) -> np.ndarray:
    """Logits (texts, T, C, V) of the conditional rows for given steps."""
    ids = dia._pad_text_input([dia._encode_text(text) for text in TEXTS])
    both = torch.stack([torch.zeros_like(ids), ids], dim=1).view(2 * len(TEXTS), -1)
    encoder_state = EncoderInferenceState.new(dia.config, ids)
    encoded = dia.model.encoder(both, encoder_state)
    decoder = dia.model.decoder
    april = decoder.precompute_cross_attn_cache.__code__.co_argcount > 2
    rest = (encoder_state.positions, encoder_state.padding_mask) if april else ()
    cross = decoder.precompute_cross_attn_cache(encoded, *rest)
    state = DecoderInferenceState.new(
        dia.config, encoder_state, encoded, cross, torch.float32, max_generation_length=64
    )
    steps = teacher_steps()
    state.prepare_step(0, steps.shape[1])
    return decoder.forward(steps.repeat_interleave(2, dim=0), state)[1::2].numpy()


def main() -> None:
    revision = Revision.parse(sys.argv[1])
    arrays = {}
    logits = teacher_forced(load(golden_model(revision)))
    arrays["logits"] = logits[..., KEPT_IDS].astype(np.float32)
    arrays["logsumexp"] = torch.logsumexp(torch.from_numpy(logits), -1).numpy()
    for (of, name), (eos_gain, seed) in ENDS.items():
        if of is not revision:
            continue
        dia = load(golden_model(revision, eos_gain=eos_gain, seed=seed))
        close_the_gap(dia)
        for number, text in enumerate(TEXTS):
            arrays[f"{name}_{number}"] = greedy(dia, text, None)
        arrays[f"{name}_prompted"] = greedy(dia, PROMPTED, prompt_codes())
    np.savez_compressed(golden_file(revision), **arrays)


if __name__ == "__main__":
    main()
