"""Models that judge speech: what is said, who says it, how good it sounds. All are optional.

They are named by the person, lie on this machine or on the Hub, and run on the accelerator if there
is one. One clip at a time, so that a figure does not depend on what else is judged.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from dialoom.audio import Waveform, resample
from dialoom.audio.transcribe import Transcriber, WhisperTranscriber, quiet_transformers
from dialoom.errors import AudioError
from dialoom.evaluate.words import import_jiwer

MIN_JUDGED_S = 1.0
"""Shorter speech is repeated up to this length: the layers of such models need some frames."""

MOS_RATE_HZ = 16_000


@runtime_checkable
class SpeakerModel(Protocol):
    """Tells voices apart."""

    @property
    def name(self) -> str: ...

    def embed(self, waveform: Waveform) -> Float32[np.ndarray, " D"]:
        """A direction for each voice; the waveform is not empty."""
        ...


@runtime_checkable
class OpinionModel(Protocol):
    """Predicts what listeners would say of a clip's quality."""

    @property
    def name(self) -> str: ...

    def score(self, waveform: Waveform) -> float:
        """The mean opinion, usually from 1 to 5; the waveform is not empty."""
        ...


@dataclass(frozen=True)
class Judges:
    """Who listens; None where nobody does.

    Attributes:
        transcriber: for word errors.
        speaker: for speaker similarity.
        opinion: for the predicted mean opinion score.
    """

    transcriber: Transcriber | None = None
    speaker: SpeakerModel | None = None
    opinion: OpinionModel | None = None

    @property
    def names(self) -> dict[str, str | None]:
        """Equal names give equal figures."""
        return {
            "asr_model": None if self.transcriber is None else self.transcriber.name,
            "speaker_model": None if self.speaker is None else self.speaker.name,
            "mos_model": None if self.opinion is None else self.opinion.name,
        }


def load_judges(asr_model: str | None, speaker_model: str | None, mos_model: str | None) -> Judges:
    """Those that are named.

    Args:
        asr_model: as `WhisperTranscriber` takes it.
        speaker_model: as `XVectorModel` takes it.
        mos_model: path of a file, as `OpinionFile` takes it.

    Raises:
        MissingExtra: jiwer or accelerate is not installed, and a recogniser is wanted.
        AudioError: a model cannot be loaded.
    """
    if asr_model is not None:
        import_jiwer()
    return Judges(
        transcriber=None if asr_model is None else WhisperTranscriber(asr_model),
        speaker=None if speaker_model is None else XVectorModel(speaker_model),
        opinion=None if mos_model is None else OpinionFile(Path(mos_model)),
    )


def cosine_similarity(left: Float32[np.ndarray, " D"], right: Float32[np.ndarray, " D"]) -> float:
    """Of the angle between two embeddings, -1…1; NaN where one has no direction."""
    size = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    return float(left @ right) / size if size else math.nan


class XVectorModel:
    """Speaker embeddings of transformers: WavLM, wav2vec 2.0 and their like "for x-vector".

    Source: Snyder et al., "X-Vectors: Robust DNN Embeddings for Speaker Recognition", ICASSP 2018;
    Chen et al., "WavLM", 2022.

    Args:
        source: directory or Hub id of such a model, such as microsoft/wavlm-base-plus-sv.

    Raises:
        AudioError: it cannot be loaded, or has no weights for x-vectors.
    """

    def __init__(self, source: str) -> None:
        import transformers

        untyped: Any = transformers
        self._device = _device()
        try:
            with quiet_transformers():
                model, report = untyped.AutoModelForAudioXVector.from_pretrained(
                    source, output_loading_info=True
                )
                self._extractor: Any = untyped.AutoFeatureExtractor.from_pretrained(source)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise AudioError(_no_speaker_model(source, _reason(error))) from error
        missing = sorted(
            name for name in report["missing_keys"] if not name.startswith("objective.")
        )
        if missing:
            raise AudioError(_no_speaker_model(source, f"it has no {missing[0]}"))
        self._model: Any = model.eval().to(self._device)
        self.name = source

    @torch.inference_mode()
    def embed(self, waveform: Waveform) -> Float32[np.ndarray, " D"]:
        rate_hz = int(self._extractor.sampling_rate)
        features = self._extractor(
            _long_enough(waveform, rate_hz), sampling_rate=rate_hz, return_tensors="pt"
        )
        found = self._model(features["input_values"].to(self._device)).embeddings
        embedding: Float32[np.ndarray, " D"] = found[0].float().cpu().numpy()
        return embedding


class OpinionFile:
    """A predictor of mean opinion scores in one file that carries its code.

    It is called with a float32 tensor (1, N) of samples at 16 kHz, full scale ±1, and returns a
    tensor of one number. UTMOS and its like are handed on so, in TorchScript.

    Args:
        path: of the file: `.pt2` as torch.export.save wrote it, any other as torch.jit.save did.

    Raises:
        AudioError: it is not there, or is neither.
    """

    def __init__(self, path: Path) -> None:
        self._device = _device()
        if not path.is_file():
            raise AudioError(
                f"--mos-model {path}: no such file; name one that torch.jit.save or "
                "torch.export.save wrote"
            )
        try:
            self._model: Any = self._load(path)
        except Exception as error:  # of many kinds: the file may hold anything
            raise AudioError(
                f"--mos-model {path}: cannot be loaded ({_reason(error)}); it must be written by "
                "torch.jit.save, or by torch.export.save and be named .pt2"
            ) from error
        self.name = str(path)

    def _load(self, path: Path) -> Any:
        if path.suffix == ".pt2":
            return torch.export.load(path).module().to(self._device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it is the form that there is
            jit: Any = torch.jit
            return jit.load(str(path), map_location=self._device).eval()

    @torch.inference_mode()
    def score(self, waveform: Waveform) -> float:
        """As the model says.

        Raises:
            AudioError: it does not take such samples, or does not return one number.
        """
        samples = torch.from_numpy(_long_enough(waveform, MOS_RATE_HZ))[None].to(self._device)
        try:
            found = self._model(samples)
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            reason = str(error).strip().splitlines()[-1:]  # TorchScript's own trace comes before
            raise AudioError(f"{self._misfit()} ({''.join(reason)})") from error
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise AudioError(f"{self._misfit()} of one number")
        return float(found)

    def _misfit(self) -> str:
        return (
            f"--mos-model {self.name}: a predictor takes (1, N) samples at 16 kHz and returns a "
            "tensor"
        )


def _long_enough(waveform: Waveform, rate_hz: int) -> Float32[np.ndarray, " N"]:
    samples = resample(waveform, rate_hz).samples
    shortest = round(MIN_JUDGED_S * rate_hz)
    repeated: Float32[np.ndarray, " N"] = np.resize(samples, max(shortest, samples.size))
    return repeated


def _no_speaker_model(source: str, reason: str) -> str:
    return (
        f"--speaker-model {source}: cannot be loaded ({reason.rstrip('.')}); name a directory or "
        "Hub id of a model for x-vectors, such as microsoft/wavlm-base-plus-sv"
    )


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _device() -> torch.device:
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
