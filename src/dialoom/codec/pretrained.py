"""What DAC and Mimi share: weights from a directory or the Hub, whole frames in, whole frames out.

Clips are encoded one at a time, never in padded batches: the convolutions see the padding of a
shorter clip, and its last frames come out different (tests/codec/test_dac_codec.py shows it).
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from dialoom.audio.resample import resample
from dialoom.audio.waveform import Waveform
from dialoom.codec.base import Codec, CodecSpec, Codes
from dialoom.codec.parallel import decode_beside, decode_in_batches
from dialoom.errors import AudioError, CodecError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class PretrainedCodec(ABC, Codec):
    """A codec around one transformers model; subclasses say how that model encodes and decodes."""

    def __init__(self, spec: CodecSpec, device: str) -> None:
        self._spec = spec
        self._device = device

    @property
    def spec(self) -> CodecSpec:
        return self._spec

    @torch.inference_mode()
    def encode(self, waveform: Waveform) -> Codes:
        """N samples at the codec's rate, the tail padded with zeros, become ceil(N / hop) frames.

        Raises:
            AudioError: the waveform is empty.
        """
        samples = resample(waveform, self._spec.sample_rate_hz).samples
        if samples.size == 0:
            raise AudioError(
                f"the audio is empty ({waveform.num_samples} samples at {waveform.sample_rate_hz} "
                "Hz): nothing to encode; give at least one frame"
            )
        audio_11N = torch.tensor(samples, device=self._device)[None, None]
        missing = -samples.size % self._spec.hop_length
        codes_CF = self._encode(functional.pad(audio_11N, (0, missing)))
        return Codes(codes_CF.T.cpu().numpy().astype(np.uint16))

    def decode(self, codes: Codes) -> Waveform:
        """F frames become F · hop samples.

        Where upsampling by an odd ratio gives fewer samples, zeros follow; what is beyond is cut.

        Raises:
            CodecError: the codes have another number of codebooks, or ids out of range.
        """
        refuse_foreign_codes(codes, self._spec)
        ids_1FC = torch.from_numpy(codes.frames.astype(np.int64))[None]
        return Waveform(self._samples(ids_1FC)[0].cpu().numpy(), self._spec.sample_rate_hz)

    def decode_many(self, clips: Sequence[Codes]) -> list[Waveform]:
        """`decode` of each clip: on a CPU beside each other, on a GPU equal lengths at once."""
        if torch.device(self._device).type == "cpu":
            return decode_beside(self.decode, clips)
        for codes in clips:
            refuse_foreign_codes(codes, self._spec)
        return decode_in_batches(self._samples, clips, sample_rate_hz=self._spec.sample_rate_hz)

    @torch.inference_mode()
    def _samples(self, ids_BFC: Int[Tensor, "B F C"]) -> Float[Tensor, "B N"]:
        num_clips, num_frames, _ = ids_BFC.shape
        num_samples = num_frames * self._spec.hop_length
        if num_frames == 0:
            return torch.zeros(num_clips, 0)
        audio = self._decode(ids_BFC.transpose(1, 2).to(self._device))
        audio_BN = audio.reshape(num_clips, -1)[:, :num_samples].float()
        return functional.pad(audio_BN, (0, num_samples - audio_BN.shape[1]))

    @abstractmethod
    def _encode(self, audio_11N: Float[Tensor, "1 1 N"]) -> Int[Tensor, "C F"]: ...

    @abstractmethod
    def _decode(self, codes_BCF: Int[Tensor, "B C F"]) -> Float[Tensor, "..."]: ...


def refuse_foreign_codes(codes: Codes, spec: CodecSpec) -> None:
    """Raises CodecError for codes that this codec cannot have made."""
    if codes.num_codebooks != spec.num_codebooks:
        raise CodecError(
            f"codec {spec.name}: the codes have {codes.num_codebooks} codebooks, it has "
            f"{spec.num_codebooks}; decode them with the codec that made them"
        )
    largest = int(codes.frames.max(initial=0))
    if largest >= spec.codebook_size:
        raise CodecError(
            f"codec {spec.name}: the codes hold id {largest}, its ids end at "
            f"{spec.codebook_size - 1}; decode them with the codec that made them"
        )


def local_directory(source: str | Path) -> Path:
    """The directory of a codec, fetched from the Hub unless it is one already.

    Raises:
        CodecError: neither a directory nor a Hub id that can be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if Path(source).is_dir():
        return Path(source)
    if not HUB_ID.fullmatch(str(source)):
        raise CodecError(
            f"codec {source}: no such directory; give one that holds {CONFIG_FILE} and "
            f"{WEIGHTS_FILE}, or a Hub id such as descript/dac_44khz"
        )
    try:
        return Path(snapshot_download(str(source), allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CodecError(
            f"codec {source}: no such directory, and the Hub did not give it "
            f"({type(error).__name__}); check the name and the connection, or give a directory"
        ) from error


def load_weights(
    model_class: type["PreTrainedModel"], directory: Path, device: str
) -> tuple[Any, str]:
    """The model in evaluation mode, and the sha256 of its weights file.

    Raises:
        CodecError: a file is missing or damaged, or the weights do not fill the model.
    """
    weights = directory / WEIGHTS_FILE
    if not weights.is_file():
        raise CodecError(f"codec {directory}: holds no {WEIGHTS_FILE}; fetch the codec again")
    from safetensors import SafetensorError

    try:
        loaded: Any = model_class.from_pretrained(
            directory, output_loading_info=True, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CodecError(f"codec {directory}: damaged ({reason}); fetch it again") from error
    model, info = loaded
    missing = info["missing_keys"]
    if missing:
        raise CodecError(
            f"codec {directory}: {WEIGHTS_FILE} lacks {len(missing)} tensors, among them "
            f"{min(missing)}; fetch the codec again"
        )
    with weights.open("rb") as file:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    return model.to(device).eval(), content_hash
