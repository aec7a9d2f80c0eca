"""The bundled codec `mini`: 44.1 kHz speech ↔ 9 codebooks of 1024 at 86.13 frames per second.

It has the geometry of the codec that Dia was trained with, in 8 MB instead of 300, and fast enough
for a laptop. It carries speech up to 11 kHz, no music. `recipes/mini_codec` trains it.

Refused: another number of codebooks and ids out of range, for they come from another codec.
"""

import copy
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor
from torch.nn import functional

from dialoom.audio.resample import resample
from dialoom.audio.waveform import Waveform
from dialoom.codec.base import CodecSpec, Codes, DecoderReach
from dialoom.codec.mini_network import MiniNetwork, MiniShape
from dialoom.codec.parallel import decode_beside, decode_in_batches
from dialoom.codec.pretrained import refuse_foreign_codes
from dialoom.errors import AudioError, CodecError

BUNDLED_NAME = "mini"
WEIGHTS_NAME = "mini.safetensors"
WEIGHTS_FORMAT = "dialoom-mini-1"
LOOKAHEAD_FRAMES = 12
"""Of the 26 after a frame that the decoder sees: what the others add is 90 dB below the speech
(measured; 4 frames are 15 dB below it, 8 are 54), and each delays streamed speech by 12 ms."""

REINSTALL = "reinstall dialoom, or train the weights anew with recipes/mini_codec"


class MiniCodec:
    """The `Codec` of the bundled weights.

    Args:
        network: the weights, in fp32.
        content_hash: sha256 of the weights file.
        device: where it decodes. Encoding is always in fp32 on the CPU, so that the same audio
            gives the same codes however many threads prepare a corpus. (Another kind of CPU
            rounds differently, which may change an id in one of 10,000 frames.)
        name: what `load_codec` takes for these weights: the path of their file, if not bundled.
    """

    def __init__(
        self,
        network: MiniNetwork,
        content_hash: str,
        device: str = "cpu",
        *,
        name: str = BUNDLED_NAME,
    ) -> None:
        self._encoder = network.eval().requires_grad_(False)
        self._device = torch.device(device)
        self._decoder = self._encoder
        if self._device.type != "cpu":
            self._decoder = copy.deepcopy(network).to(self._device)
        shape = network.shape
        self._spec = CodecSpec(
            name=name,
            content_hash=content_hash,
            sample_rate_hz=shape.sample_rate_hz,
            hop_length=shape.hop_length,
            num_codebooks=shape.num_codebooks,
            codebook_size=shape.codebook_size,
        )

    @staticmethod
    def load(path: Path | None = None, device: str = "cpu") -> "MiniCodec":
        """Reads weights: those of the package where no path is given.

        Raises:
            CodecError: the file is missing, damaged, or no weights of this codec.
        """
        bundled = resources.files("dialoom.codec").joinpath(WEIGHTS_NAME)
        source = path or bundled
        try:
            content = source.read_bytes()
        except OSError as error:
            raise CodecError(
                f"{source}: the weights of the codec 'mini' cannot be read"
                f" ({error.strerror}); {REINSTALL}"
            ) from error
        network = _read_network(content, str(source))
        name = BUNDLED_NAME
        if path is not None and not (bundled.is_file() and bundled.read_bytes() == content):
            name = str(path.absolute())
        return MiniCodec(network, hashlib.sha256(content).hexdigest(), device, name=name)

    @property
    def spec(self) -> CodecSpec:
        return self._spec

    @property
    def reach(self) -> DecoderReach:
        seen = self._decoder.decoder_reach
        return DecoderReach(before=seen, after=min(seen, LOOKAHEAD_FRAMES))

    @torch.inference_mode()
    def encode(self, waveform: Waveform) -> Codes:
        """N samples at 44.1 kHz become ceil(N / 512) frames; other rates are resampled first.

        Raises:
            AudioError: the waveform is empty.
        """
        if waveform.num_samples == 0:
            raise AudioError("the audio is empty: nothing to encode; give at least one sample")
        resampled = resample(waveform, self._spec.sample_rate_hz)
        if resampled.num_samples == 0:
            raise AudioError(
                f"{waveform.num_samples} samples at {waveform.sample_rate_hz} Hz are less than one"
                f" at {self._spec.sample_rate_hz} Hz: nothing to encode"
            )
        samples = torch.from_numpy(np.array(resampled.samples, dtype=np.float32))
        # The last frame is filled up with silence.
        samples = functional.pad(samples, (0, -samples.shape[0] % self._spec.hop_length))
        codes = self._encoder.quantizer.encode(self._encoder.encode(samples[None]))[0]
        return Codes(frames=codes.numpy().astype(np.uint16))

    def decode(self, codes: Codes) -> Waveform:
        """F frames become F · 512 samples.

        Raises:
            CodecError: the codes have another number of codebooks, or ids out of range.
        """
        refuse_foreign_codes(codes, self._spec)
        ids_1FC = torch.from_numpy(codes.frames.astype(np.int64))[None]
        samples = self._samples(ids_1FC)[0].cpu().numpy()
        return Waveform(samples, sample_rate_hz=self._spec.sample_rate_hz)

    def decode_many(self, clips: Sequence[Codes]) -> list[Waveform]:
        """`decode` of each clip: on a CPU beside each other, on a GPU equal lengths at once."""
        if self._device.type == "cpu":
            return decode_beside(self.decode, clips)
        for codes in clips:
            refuse_foreign_codes(codes, self._spec)
        return decode_in_batches(self._samples, clips, sample_rate_hz=self._spec.sample_rate_hz)

    @torch.inference_mode()
    def _samples(self, ids_BFC: Int[Tensor, "B F C"]) -> Float[Tensor, "B N"]:
        latents = self._decoder.quantizer.decode(ids_BFC.to(self._device))
        return self._decoder.decode(latents).clamp(-1.0, 1.0)


def _read_network(content: bytes, where: str) -> MiniNetwork:
    try:
        network = MiniNetwork(_read_shape(content))
        tensors = load_tensors(content)
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise CodecError(
            f"{where}: not the weights of the codec 'mini', or damaged; {REINSTALL}"
        ) from error
    return network


def _read_shape(content: bytes) -> MiniShape:
    """The shape in the header: 8 bytes of length, then JSON.

    Raises:
        ValueError: there is none, or it is of another format version.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header.get("__metadata__", {})
    if metadata.get("format") != WEIGHTS_FORMAT:
        raise ValueError(f"format {metadata.get('format')!r} is not {WEIGHTS_FORMAT!r}")
    return MiniShape.from_json(metadata["shape"])
