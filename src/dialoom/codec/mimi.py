"""Mimi, the codec of Moshi (Défossez et al., arXiv 2410.00037), through transformers' MimiModel."""

from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor
from transformers import MimiModel

from dialoom.codec.base import CodecSpec, DecoderReach
from dialoom.codec.pretrained import PretrainedCodec, load_weights, local_directory
from dialoom.errors import CodecError

DEFAULT_NUM_CODEBOOKS = 8
"""What Moshi uses of the 32 in `kyutai/mimi`; more sound better and cost more to predict."""


class MimiCodec(PretrainedCodec):
    """24 kHz, hop 1920 (12.5 frames per second), up to 32 codebooks of 2048 in `kyutai/mimi`."""

    def __init__(self, model: MimiModel, spec: CodecSpec, device: str) -> None:
        super().__init__(spec, device)
        self._model = model

    @classmethod
    def load(
        cls,
        source: str | Path,
        device: str = "cpu",
        *,
        num_codebooks: int = DEFAULT_NUM_CODEBOOKS,
    ) -> "MimiCodec":
        """Loads a directory or a Hub id and uses its first `num_codebooks` codebooks.

        Raises:
            CodecError: the codec cannot be found, is damaged, or has fewer codebooks.
        """
        model, content_hash = load_weights(MimiModel, local_directory(source), device)
        if not 1 <= num_codebooks <= model.config.num_quantizers:
            raise CodecError(
                f"codec {source}: num_codebooks {num_codebooks} is outside "
                f"1–{model.config.num_quantizers}; choose one it has"
            )
        spec = CodecSpec(
            name=str(source),
            content_hash=content_hash,
            sample_rate_hz=model.config.sampling_rate,
            hop_length=model.config.frame_size,
            num_codebooks=num_codebooks,
            codebook_size=model.config.codebook_size,
        )
        return cls(model, spec, device)

    @property
    def reach(self) -> DecoderReach:
        """Its decoder is causal; the layers of its transformer pass on all that was before."""
        return DecoderReach(before=None, after=0)

    def _encode(self, audio_11N: Float[Tensor, "1 1 N"]) -> Int[Tensor, "C F"]:
        encoded = self._model.encode(audio_11N, num_quantizers=self.spec.num_codebooks)
        codes_CF: Tensor = encoded.audio_codes[0]
        return codes_CF

    def _decode(self, codes_BCF: Int[Tensor, "B C F"]) -> Float[Tensor, "..."]:
        audio: Tensor = self._model.decode(codes_BCF).audio_values
        return audio
