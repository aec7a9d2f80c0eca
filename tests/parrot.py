"""A corpus of fake sentences, and models that say its clips instead of speaking."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from fake_speech import fake_sentence
from helpers import small_model

from dialoom.audio import write_audio
from dialoom.checkpoint import ModelInfo
from dialoom.codec import load_codec
from dialoom.data import Clip, Corpus, CorpusWriter
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.request import Generated, Request

NUM_CLIPS = 6


def write_sentences(path: Path, speakers: Sequence[str | None] = (None,)) -> Corpus:
    """`recordings/`, and a `corpus/` of them, all in `train`; the speakers take turns."""
    codec = load_codec("mini")
    (path / "recordings").mkdir()
    clips = []
    for seed in range(NUM_CLIPS):
        waveform = fake_sentence(seed, num_sounds=4 + seed % 3)
        write_audio(path / "recordings" / f"{seed}.flac", waveform)
        text, language = f"[S1] Number {seed}.", (None, "en", "tlh")[seed % 3]
        speaker, codes = speakers[seed % len(speakers)], codec.encode(waveform)
        clips.append(Clip(f"clip-{seed}", text, language, speaker, codes, source=f"{seed}.flac"))
    writer = CorpusWriter(path / "corpus", codec.spec, valid_fraction=0)
    writer.write(0, clips)
    writer.finish(1)
    return Corpus.open(path / "corpus")


class Parrot(Synthesizer):
    """Says the clip whose text it is given, or a part of it.

    Attributes:
        heard: every request, batch by batch.
    """

    def __init__(self, corpus: Corpus, *, share: float = 1.0, seed: int = 0) -> None:
        """Says `share` of every clip; two of another seed have other weights."""
        codec = load_codec("mini")
        super().__init__(small_model(seed=seed), ModelInfo(codec=codec.spec), codec)
        self._frames = {corpus[i].text: corpus[i].codes.frames for i in range(len(corpus))}
        self._share = share
        self.heard: list[Sequence[Request]] = []
        self.before: Callable[[], None] = lambda: None

    def generate(  # type: ignore[override]
        self, requests: Sequence[Request], settings: SamplingSettings, *, max_frames: int
    ) -> list[Generated]:
        self.before()
        self.heard.append(requests)
        return [self._say(request, max_frames) for request in requests]

    def _say(self, request: Request, max_frames: int) -> Generated:
        said = bytes(request.text_ids[-4:])
        frames = next(frames for text, frames in self._frames.items() if text.encode()[-4:] == said)
        assert len(frames) < max_frames
        part = frames[: round(self._share * len(frames))]
        return Generated(torch.from_numpy(part.astype(np.int64)), stopped=True)
