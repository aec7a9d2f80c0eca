"""A long text: one voice, no gap, no click, and it is known when each part is heard."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from fake_speech import fake_sentence
from helpers import small_model

from dialoom.audio import Waveform
from dialoom.checkpoint import ModelInfo
from dialoom.codec import Codes, load_codec
from dialoom.errors import GenerationError, TextError
from dialoom.generate import SamplingSettings, Synthesizer, Voice
from dialoom.generate.guard import Fault
from dialoom.generate.narration import Narration, NarrationOptions, _Heard, choose_context
from dialoom.generate.parts import PartLimits
from dialoom.generate.request import Generated, Request

SCRIPT = "[S1] One is here. [S2] Two is there now. [S1] Three! [S1] Four is far away."
LIMITS = PartLimits(0.5, 2.0)
PARTS = ["[S1] One is here.", "[S2] Two is there now.", "[S1] Three! Four is far away."]
CODEC = load_codec("mini")


class Recorded(Synthesizer):
    """Says of each part a recording of its own, and keeps what it was asked."""

    def __init__(self, recordings: Sequence[Codes]) -> None:
        super().__init__(small_model(), ModelInfo(codec=CODEC.spec), CODEC)
        self._recordings = list(recordings)
        self.asked: list[tuple[str, SamplingSettings, Voice | None]] = []

    def stream_codes(self, text, settings=None, *, prompt=None, language=None):
        frames = torch.from_numpy(self._recordings[len(self.asked)].frames.astype(np.int64))
        self.asked.append((text, settings, prompt))
        for frame in frames.split(1):
            yield Generated(frame, False)
        yield Generated(frames[:0], True)

    def request(self, text, settings=None, prompt=None, language=None):
        self._wished = (text, settings, prompt)
        return Request([0])

    def generate(self, requests, *_, **__):
        text, settings, prompt = self._wished
        pieces = self.stream_codes(text, settings, prompt=prompt)
        return [Generated(torch.cat([piece.codes for piece in pieces]), True)]


def recording(seed: int, *, before_s: float = 0.05, after_s: float = 0.05) -> Codes:
    """A second of speech between silences."""
    speech = fake_sentence(seed)
    edges = [round(edge_s * speech.sample_rate_hz) for edge_s in (before_s, after_s)]
    return CODEC.encode(Waveform(np.pad(speech.samples, edges), speech.sample_rate_hz))


def narrate(recordings: Sequence[Codes], **options: object) -> tuple[Narration, np.ndarray]:
    synthesizer = Recorded(recordings)
    narration = Narration(
        synthesizer, SCRIPT, SamplingSettings(seed=5), NarrationOptions(LIMITS, **options)
    )
    return narration, np.concatenate([waveform.samples for waveform in narration])


def longest_pause_s(samples: np.ndarray) -> float:
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return float(np.diff(loud).max() / CODEC.spec.sample_rate_hz)


def test_without_long_pauses_it_is_the_whole_clip() -> None:
    recordings = [recording(seed) for seed in range(3)]
    narration, samples = narrate(recordings)
    frames = np.concatenate([codes.frames for codes in recordings])
    np.testing.assert_array_equal(narration.codes.frames, frames)
    whole = CODEC.decode(Codes(frames)).samples
    assert samples.shape == whole.shape
    assert np.abs(samples - whole).max() < 1e-3 * np.abs(whole).max()


def test_pauses_at_joins_are_shortened_and_codes_agree_with_the_sound() -> None:
    recordings = [recording(seed, before_s=0.5, after_s=0.6) for seed in range(3)]
    narration, samples = narrate(recordings, max_pause_s=0.3)
    assert longest_pause_s(samples) < 0.35
    assert samples.size == 512 * narration.codes.num_frames
    again = CODEC.decode(narration.codes).samples
    assert np.abs(again - samples).max() < 0.01, "they differ in the silence of the cuts alone"


def test_parts_are_timed_by_their_sound() -> None:
    recordings = [recording(seed, before_s=0.5, after_s=0.6) for seed in range(3)]
    narration, samples = narrate(recordings, max_pause_s=0.3)
    assert [part.text for part in narration.parts] == PARTS
    assert [part.seed for part in narration.parts] == [5, 6, 7]
    spans = [(part.start_s, part.end_s) for part in narration.parts]
    assert spans[0][0] == pytest.approx(0.5, abs=0.05), "silence before the first part stays"
    for start_s, end_s in spans:
        assert end_s - start_s == pytest.approx(1.0, abs=0.1)
    for (_, end_s), (start_s, _) in pairwise(spans):
        assert 0 < start_s - end_s <= 0.35
    assert spans[-1][1] <= samples.size / 44_100


def test_each_part_continues_the_one_before_and_its_speakers_last() -> None:
    recordings = [recording(seed) for seed in range(3)]
    narration, _ = narrate(recordings)
    asked = narration._synthesizer.asked
    assert [text for text, _, _ in asked] == PARTS
    assert asked[0][2] is None
    assert asked[1][2].text == PARTS[0]
    np.testing.assert_array_equal(asked[1][2].codes.frames, recordings[0].frames)
    assert asked[2][2].text == f"{PARTS[0]} {PARTS[1]}", "[S1] was not in the part before"
    np.testing.assert_array_equal(
        asked[2][2].codes.frames, np.concatenate([codes.frames for codes in recordings[:2]])
    )


def test_a_faulty_part_is_told_and_continued_by_none() -> None:
    recordings = [recording(0), Codes(np.zeros((0, 9), np.uint16)), recording(2)]
    narration, _ = narrate(recordings)
    assert [part.fault for part in narration.parts] == [None, Fault.EMPTY, None]
    assert narration.parts[1].start_s == narration.parts[1].end_s == narration.parts[0].end_s
    assert narration._synthesizer.asked[2][2].text == PARTS[0]


def test_faulty_parts_are_drawn_again_before_they_are_heard() -> None:
    empty = Codes(np.zeros((0, 9), np.uint16))
    recordings = [recording(0), empty, empty, recording(1), recording(2)]
    narration, _ = narrate(recordings, retries=2)
    assert [(part.fault, part.num_draws) for part in narration.parts] == [
        (None, 1), (None, 3), (None, 1),
    ]  # fmt: skip
    expected = np.concatenate([recordings[i].frames for i in (0, 3, 4)])
    np.testing.assert_array_equal(narration.codes.frames, expected)


def test_the_context_is_what_fits() -> None:
    def heard(text: str, num_frames: int) -> _Heard:
        return _Heard(text, Codes(np.full((num_frames, 9), num_frames, np.uint16)))

    history = [heard("[S2] A.", 10), heard("[S1] B.", 20), heard("[S1] C.", 30)]
    chosen = choose_context(history, "[S1] D. [S2] E.", room_frames=40, room_bytes=900)
    assert chosen is not None
    assert chosen.text == "[S2] A. [S1] C."
    assert chosen.codes.num_frames == 40
    cases = [("[S1] D.", 99, 900, "[S1] C."), ("[S2] D.", 29, 900, "[S1] B."),
             ("[S1] D. [S2] E.", 99, 8, "[S1] C.")]  # fmt: skip
    for text, room_frames, room_bytes, expected in cases:
        found = choose_context(history, text, room_frames=room_frames, room_bytes=room_bytes)
        assert found is not None
        assert found.text == expected
    assert choose_context(history, "[S1] D.", room_frames=5, room_bytes=900) is None


def test_a_real_model_speaks_a_text_that_it_could_not_read_at_once() -> None:
    model = small_model()
    with torch.no_grad():
        model.logits_dense.weight[1024] = 0
    synthesizer = Synthesizer(model, ModelInfo(codec=CODEC.spec), CODEC)
    settings = SamplingSettings(temperature=0, cfg_scale=0, max_seconds=0.05)
    options = NarrationOptions(PartLimits(20, 60))
    narration = Narration(synthesizer, "[S1] Word, word and word. " * 60, settings, options)
    with pytest.raises(GenerationError, match="reads 1 to 1024"):
        synthesizer.speak("[S1] Word, word and word. " * 60, settings)
    samples = np.concatenate([waveform.samples for waveform in narration])
    assert narration.num_parts >= 2
    assert samples.size == 4 * 512 * narration.num_parts
    assert [part.fault for part in narration.parts] == [Fault.EMPTY] * narration.num_parts


def test_what_cannot_be_narrated_is_refused() -> None:
    with pytest.raises(TextError, match="the text is empty"):
        Narration(Recorded([]), " [S1] ")
    before = Recorded([])
    with pytest.raises(TextError, match="control byte 2"):
        Narration(before, f"{SCRIPT} [S2] A page\x02break.", options=NarrationOptions(LIMITS))
    assert not before.asked, "not after hours of speech"
    nothing = [Codes(np.zeros((0, 9), np.uint16))] * 3
    with pytest.raises(GenerationError, match="before it said anything"):
        narrate(nothing)
    with pytest.raises(GenerationError, match="more than the 16 s of a part"):
        NarrationOptions(total_s=10.0)
    with pytest.raises(GenerationError, match="max-pause"):
        NarrationOptions(max_pause_s=0)
