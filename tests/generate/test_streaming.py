"""Streamed speech is the speech, and its first piece is there early."""

import itertools

import numpy as np
import pytest
import torch
from fake_speech import fake_sentence
from helpers import small_model

from dialoom.audio import Waveform
from dialoom.checkpoint import ModelInfo
from dialoom.codec import load_codec
from dialoom.errors import GenerationError, TextError
from dialoom.generate import SamplingSettings, Synthesizer, VoicePrompt
from dialoom.generate.decode import Decoding, generate_codes
from dialoom.generate.request import Generated, Request
from dialoom.generate.streaming import in_chunks, stream_codes, stream_waveforms
from dialoom.model.step_decoder import StepDecoder
from dialoom.text import TagTable

BAR_DB = -60.0
SETTINGS = SamplingSettings(max_seconds=0.6, cfg_scale=0)


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    codec = load_codec("mini")
    model = small_model()
    with torch.no_grad():
        model.logits_dense.weight[1024] = 0  # it never ends by itself
    return Synthesizer(model, ModelInfo(codec=codec.spec), codec)


@pytest.mark.parametrize("prompted", [False, True])
def test_a_stream_is_the_speech(synthesizer: Synthesizer, prompted: bool) -> None:
    prompt = VoicePrompt(fake_sentence(1, num_sounds=2), "[S1] Ah.") if prompted else None
    pieces = list(synthesizer.stream("[S1] Hi.", SETTINGS, prompt=prompt))
    whole = synthesizer.speak("[S1] Hi.", SETTINGS, prompt=prompt)
    samples = np.concatenate([piece.samples for piece in pieces])
    assert len(pieces) > 2
    assert {piece.sample_rate_hz for piece in pieces} == {whole.sample_rate_hz}
    assert samples.shape == whole.samples.shape
    error = np.abs(samples - whole.samples).max() / np.abs(whole.samples).max()
    assert 20 * np.log10(error + 1e-12) < BAR_DB


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one with every step."""
    steps: list[None] = []
    advance = Decoding.advance
    monkeypatch.setattr(
        Decoding, "advance", lambda decoding: (steps.append(None), advance(decoding))[1]
    )
    return steps


def test_the_first_piece_needs_few_steps(
    synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(monkeypatch)
    first = next(synthesizer.stream("[S1] Hi.", SETTINGS))
    assert isinstance(first, Waveform)
    assert first.num_samples > 0
    assert len(steps) <= 15 + synthesizer.codec.reach.after + 4


def test_what_cannot_be_spoken_is_refused(synthesizer: Synthesizer) -> None:
    with pytest.raises(TextError):
        synthesizer.stream(" ", SETTINGS)
    with pytest.raises(GenerationError, match="reads 1 to 1024"):
        synthesizer.stream("x" * 1025, SETTINGS)


def test_a_clip_without_frames_is_refused(synthesizer: Synthesizer) -> None:
    nothing = iter([Generated(torch.zeros(0, 9, dtype=torch.long), True)])
    with pytest.raises(GenerationError, match="before it said anything"):
        next(stream_waveforms(nothing, synthesizer.codec))


@pytest.mark.parametrize("num_frames", [0, 1, 7, 8, 15, 100])
def test_chunks_grow_and_lose_nothing(num_frames: int) -> None:
    frames = torch.arange(num_frames)[:, None].expand(-1, 9)
    single = (Generated(frame, False) for frame in frames.split(1))
    last = Generated(frames[:0], True)
    chunks = list(in_chunks(itertools.chain(single, [last]), lookahead=3))
    assert torch.equal(torch.cat([chunk.codes for chunk in chunks]), frames)
    lengths = [chunk.codes.shape[0] for chunk in chunks[:-1]]
    assert lengths == [3 + 4, 8, 16, 32, 32][: len(lengths)]
    assert [chunk.stopped for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@pytest.mark.parametrize("ends", [False, True])
def test_streamed_frames_are_those_of_the_whole(ends: bool) -> None:
    model = small_model(seed=1)
    with torch.no_grad():
        model.logits_dense.weight[1024].mul_(4.0 if ends else 0.0)
    prompt = torch.randint(0, 1024, (6, 9), generator=torch.Generator().manual_seed(0))
    request = Request(TagTable.default().encode("[S1] Hi."), prompt=prompt, seed=9)
    whole = generate_codes(model, [request], SETTINGS, max_frames=40)[0]
    assert whole.stopped == ends, "both ends shall be seen"
    pieces = list(stream_codes(Decoding(StepDecoder(model), [request], SETTINGS, max_frames=40)))
    assert torch.equal(torch.cat([piece.codes for piece in pieces]), whole.codes)
    assert [piece.stopped for piece in pieces] == [False] * (len(pieces) - 1) + [ends]
    assert all(piece.codes.shape[0] == 1 for piece in pieces[:-1])


def test_a_stream_decodes_no_further_than_it_is_read(
    synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(monkeypatch)
    first = next(synthesizer.stream_codes("[S1] Hi.", SETTINGS))
    assert first.codes.shape == (1, 9)
    assert len(steps) == 1 + 15, "the first frame of channel 8 is there 15 steps after channel 0's"
