"""Sources and corpora for the doctor: a clean one, and one with every fault planted once."""

from pathlib import Path

import numpy as np
import soundfile
import soxr
from fake_speech import fake_sentence

from dialoom.audio import Waveform
from dialoom.codec import Codec, CodecSpec, Codes, DecoderReach
from dialoom.data import Clip, CorpusWriter

RATE_HZ = 16_000
WORDS = "seven calm rivers wind along green hills under bright morning light".split()
LETTERS_PER_SECOND = 14


def speech(seed: int, *, length_s: float = 3.0) -> np.ndarray:
    """Formants with a hiss up to 8 kHz now and then, as of an "s", and 0.1 s of silence around."""
    rng = np.random.default_rng(seed)
    samples = fake_sentence(seed, num_sounds=round(10 * length_s), pitch_hz=100 + seed % 50).samples
    hiss = rng.normal(0, 0.02, len(samples)) * (np.sin(np.arange(len(samples)) / 1500) > 0.6)
    samples = (samples + hiss) * 0.4 / np.abs(samples + hiss).max()
    return np.pad(samples, RATE_HZ // 10).astype(np.float32)


def sentence(seed: int, *, length_s: float = 3.0) -> str:
    """As many words as take that long; two speakers."""
    rng = np.random.default_rng(seed)
    words = [str(seed)]
    while len(" ".join(words)) < LETTERS_PER_SECOND * length_s:
        words.append(WORDS[rng.integers(len(WORDS))])
    middle = len(words) // 2
    return f"[S1] {' '.join(words[:middle])} [S2] {' '.join(words[middle:])}"


def telephone(samples: np.ndarray) -> np.ndarray:
    """Sampled at 8 kHz and back."""
    return soxr.resample(soxr.resample(samples, RATE_HZ, 8_000), 8_000, RATE_HZ)


def write_source(folder: Path, clips: dict[str, tuple[str, np.ndarray]]) -> Path:
    (folder / "wavs").mkdir(parents=True)
    rows = []
    for name, (text, samples) in clips.items():
        soundfile.write(folder / "wavs" / f"{name}.wav", samples, RATE_HZ, subtype="FLOAT")
        rows.append(f"{name}|{text}\n")
    (folder / "metadata.csv").write_text("".join(rows), encoding="utf-8")
    return folder


def clean_clips(number: int = 24) -> dict[str, tuple[str, np.ndarray]]:
    lengths_s = [2.5 + 0.1 * (i % 10) for i in range(number)]
    return {
        f"clean-{i:02d}": (sentence(i, length_s=s), speech(i, length_s=s))
        for i, s in enumerate(lengths_s)
    }


def faulty_clips() -> dict[str, tuple[str, np.ndarray]]:
    """The clean ones, and faults that bear the name of the finding."""
    text, sound = sentence, speech
    silent_edge = np.pad(sound(104), (RATE_HZ, 0))
    pauses = np.concatenate([sound(105, length_s=1.0), np.zeros(3 * RATE_HZ), sound(106)[:8000]])
    return clean_clips() | {
        "empty-text": ("", sound(101)),
        "over-steps": (text(102, length_s=40), np.tile(sound(102), 13)),
        "over-bytes": ("[S1] " + "long " * 250 + "[S2] end.", sound(103)),
        "edge-silence": (text(104), silent_edge),
        "mostly-silence": (text(105), pauses.astype(np.float32)),
        "clipping": (text(107), np.clip(8 * sound(107), -1, 1)),
        "loudness": (text(108), 0.03 * sound(108)),
        "narrow-band": (text(109), telephone(sound(109))),
        "duplicate-audio": (text(110), sound(3, length_s=2.8)),
        "duplicate-text": (text(4, length_s=2.9), sound(111)),
        "unknown-tag": ("[S1] [S3] " + text(112)[5:], sound(112)),
        "unknown-nonverbal": (text(113) + " (yodels)", sound(113)),
        "control-characters": (text(114) + "\x07", sound(114)),
        "odd-characters": (text(115) + " \U0001f600", sound(115)),
        "mojibake": (text(116) + " Ã¼ber", sound(116)),
        "not-first-speaker": (text(117).replace("[S1] ", ""), sound(117)),
        "same-speaker-twice": (text(118).replace("[S2]", "[S1]"), sound(118)),
        "text-too-long": (text(119, length_s=12), sound(119)),
        "text-too-short": ("[S1] No. [S2] No!", sound(120)),
        "too-short": ("[S1] a [S2]", sound(121)[:4000]),
        "silent": (text(122), 1e-5 * sound(122)),
        "long": (text(123, length_s=25), np.tile(sound(123), 8)),
        "near-bytes": ("[S1] " + "near " * 190 + "[S2] end.", np.tile(sound(124), 8)),
    }


class PlainCodec(Codec):
    """Two codes a sample, 20 bits: what goes in comes out."""

    spec = CodecSpec("plain", "e" * 64, RATE_HZ, 160, 320, 1024)
    reach = DecoderReach(before=0, after=0)

    def encode(self, waveform: Waveform) -> Codes:
        samples = np.pad(waveform.samples, (0, -len(waveform.samples) % 160))
        levels = np.round((np.clip(samples, -1, 1) + 1) * (2**19 - 1)).astype(np.int64)
        return Codes(np.stack(divmod(levels, 1024), 1).reshape(-1, 320).astype(np.uint16))

    def decode(self, codes: Codes) -> Waveform:
        coarse, fine = codes.frames.astype(np.float64).reshape(-1, 2).T
        samples = (1024 * coarse + fine) / (2**19 - 1) - 1
        return Waveform(samples.astype(np.float32), RATE_HZ)


def write_corpus(
    path: Path, clips: dict[str, tuple[str, np.ndarray]], *, valid_fraction: float = 0.3
) -> Path:
    """Written past `prepare`, which would refuse some of the faults."""
    codec = PlainCodec()
    rows = [
        Clip(name, text, "en", "anna", codec.encode(Waveform(samples, RATE_HZ)))
        for name, (text, samples) in clips.items()
    ]
    writer = CorpusWriter(path, codec.spec, valid_fraction=valid_fraction)
    writer.write(0, rows)
    writer.finish(1)
    return path
