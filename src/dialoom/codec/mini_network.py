"""The network of the bundled codec: every layer runs at frame rate, so it is fast on a CPU.

    samples → log spectra → ConvNeXt → latents → residual quantizer → ConvNeXt → spectrum → samples

The decoder is Vocos (Siuzdak, arXiv 2306.00814): it predicts magnitude and phase of one short-time
spectrum per frame, and the inverse transform does the upsampling. The quantizer is residual vector
quantization as in SoundStream (Zeghidour et al., arXiv 2107.03312) with Euclidean codebooks.

The encoder sees magnitudes only. So the codes do not follow the phase of the signal, which a
language model could not predict; the decoder invents a phase that fits.

Trap: the network knows nothing above `bandwidth_hz`. Below it a frame of 2048 samples at 44.1 kHz
and one of 1024 at 22.05 kHz have the same spectrum up to a factor, so the recipe trains at half
the rate (`decimation=2`) for half the cost, and the weights are used at the full one.
"""

import json
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

LOG_FLOOR = 1e-4
"""Added to magnitudes before the logarithm: -80 dB of full scale, below most recordings' noise."""

MAX_LOG_MAGNITUDE = 6.0


@dataclass(frozen=True)
class MiniShape:
    """Everything that fixes the network besides its weights; kept in the weights file's metadata.

    Attributes:
        sample_rate_hz: rate of the audio.
        hop_length: samples per frame.
        fft_length: window of the long spectrum, of the encoder and of the decoder.
        short_fft_length: window of the short spectra, which place events inside a frame.
        short_per_frame: short spectra per frame.
        num_bins: bins of the long spectrum that are used, from 0 Hz upwards.
        num_linear: lowest bins that the encoder sees one by one, to resolve the pitch.
        num_mels: mel bands of the long spectrum.
        num_short_mels: mel bands of each short spectrum.
        width: channels of the ConvNeXt blocks.
        mlp_width: hidden channels of their pointwise layers.
        encoder_blocks: blocks before the quantizer.
        decoder_blocks: blocks after it.
        latent_width: size of the vectors that are quantized.
        num_codebooks: stages of the quantizer.
        codebook_size: vectors per stage.
    """

    sample_rate_hz: int = 44_100
    hop_length: int = 512
    fft_length: int = 2048
    short_fft_length: int = 512
    short_per_frame: int = 4
    num_bins: int = 513
    num_linear: int = 128
    num_mels: int = 80
    num_short_mels: int = 32
    width: int = 256
    mlp_width: int = 512
    encoder_blocks: int = 3
    decoder_blocks: int = 8
    latent_width: int = 48
    num_codebooks: int = 9
    codebook_size: int = 1024

    @property
    def bandwidth_hz(self) -> float:
        """Highest frequency that the codec hears and makes."""
        return (self.num_bins - 1) * self.sample_rate_hz / self.fft_length

    @property
    def num_features(self) -> int:
        return self.num_linear + self.num_mels + self.short_per_frame * self.num_short_mels

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "MiniShape":
        """Inverse of `to_json`.

        Raises:
            ValueError: the text is no JSON, or names other fields than this class has.
        """
        fields = json.loads(text)
        if not isinstance(fields, dict) or set(fields) != set(asdict(MiniShape())):
            raise ValueError("the shape does not have the fields of this version")
        return MiniShape(**fields)


def mel_filters(num_mels: int, num_bins: int, bandwidth_hz: float) -> Float[Tensor, "bins mels"]:
    """Triangles of unit sum on the mel scale of O'Shaughnessy (1987), 0 Hz to `bandwidth_hz`."""
    top_mel = 2595.0 * torch.log10(torch.tensor(1.0 + bandwidth_hz / 700.0))
    edges = 700.0 * (10 ** (torch.linspace(0.0, 1.0, num_mels + 2) * top_mel / 2595.0) - 1.0)
    bin_hz = bandwidth_hz / (num_bins - 1)
    # Low bands are narrower than a bin; without a least width some would hold no bin at all.
    lower = torch.minimum(edges[:-2], edges[1:-1] - bin_hz)
    upper = torch.maximum(edges[2:], edges[1:-1] + bin_hz)
    hz = torch.linspace(0.0, bandwidth_hz, num_bins)[:, None]
    rising = (hz - lower) / (edges[1:-1] - lower)
    falling = (upper - hz) / (upper - edges[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    return triangles / triangles.sum(0, keepdim=True)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, then two pointwise layers (ConvNeXt, Liu et al., arXiv 2201.03545)."""

    def __init__(self, width: int, mlp_width: int, layer_scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, mlp_width)
        self.contract = nn.Linear(mlp_width, width)
        self.scale = nn.Parameter(torch.full((width,), layer_scale))

    def forward(self, x: Float[Tensor, "B F D"]) -> Float[Tensor, "B F D"]:
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        y = self.contract(functional.gelu(self.expand(self.norm(y)), approximate="tanh"))
        return x + torch.mul(self.scale, y)


class Trunk(nn.Module):
    """Projection, ConvNeXt blocks, norm, projection."""

    def __init__(self, in_width: int, out_width: int, shape: MiniShape, num_blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(in_width, shape.width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(shape.width, shape.mlp_width, 1.0 / num_blocks) for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(shape.width)
        self.leave = nn.Linear(shape.width, out_width)

    def forward(self, x: Float[Tensor, "B F I"]) -> Float[Tensor, "B F O"]:
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        # Phases need more than the eight bits of bfloat16, which the recipe trains in.
        with torch.autocast(x.device.type, enabled=False):
            return self.leave(self.norm(x.to(self.norm.weight.dtype)))  # type: ignore[no-any-return]


class ResidualQuantizer(nn.Module):
    """Codebooks applied one after another, each to what the ones before left over."""

    codebooks: Tensor

    def __init__(self, shape: MiniShape) -> None:
        super().__init__()
        size = (shape.num_codebooks, shape.codebook_size, shape.latent_width)
        self.register_buffer("codebooks", torch.zeros(size))

    def nearest(self, residual: Float[Tensor, "B F L"], codebook: int) -> Int[Tensor, "B F"]:
        """Ids of the nearest vectors of one codebook."""
        vectors = self.codebooks[codebook]
        # |r - v|² without |r|², which is the same for all v.
        return (0.5 * vectors.square().sum(-1) - residual @ vectors.T).argmin(-1)

    def encode(self, latents: Float[Tensor, "B F L"]) -> Int[Tensor, "B F C"]:
        residual, ids = latents, []
        for index in range(self.codebooks.shape[0]):
            ids.append(self.nearest(residual, index))
            residual = residual - self.codebooks[index][ids[-1]]
        return torch.stack(ids, dim=-1)

    def decode(self, codes: Int[Tensor, "B F C"]) -> Float[Tensor, "B F L"]:
        """Sum of the chosen vectors; fewer than all codebooks give a coarser latent."""
        chosen = [self.codebooks[index][codes[..., index]] for index in range(codes.shape[-1])]
        return torch.stack(chosen).sum(0)


class MiniNetwork(nn.Module):
    """Samples → latents → codes → latents → samples.

    Args:
        shape: the geometry at the full rate.
        decimation: 1 for audio at `shape.sample_rate_hz`, 2 for audio at half of it (training).
    """

    window: Tensor
    short_window: Tensor
    mel: Tensor
    short_mel: Tensor

    def __init__(self, shape: MiniShape, decimation: int = 1) -> None:
        super().__init__()
        self.shape, self.decimation = shape, decimation
        self.hop_length = shape.hop_length // decimation
        self.fft_length = shape.fft_length // decimation
        self.short_fft_length = shape.short_fft_length // decimation
        self.encoder = Trunk(shape.num_features, shape.latent_width, shape, shape.encoder_blocks)
        self.quantizer = ResidualQuantizer(shape)
        self.decoder = Trunk(shape.latent_width, 2 * shape.num_bins, shape, shape.decoder_blocks)
        self._make_constants()

    @property
    def decoder_reach(self) -> int:
        """Frames on either side that the samples of a frame depend on.

        Each block's convolution sees `kernel_size // 2`; the windows of the inverse transform
        overlap by `fft_length / hop_length` hops, of which a frame's own is the middle.
        """
        convolutions = [m for m in self.decoder.modules() if isinstance(m, nn.Conv1d)]
        overlap = self.fft_length // self.hop_length
        return sum(conv.kernel_size[0] // 2 for conv in convolutions) + overlap // 2

    def _make_constants(self) -> None:
        shape = self.shape
        short_bins = (shape.num_bins - 1) * shape.short_fft_length // shape.fft_length + 1
        constants = {
            "window": torch.hann_window(self.fft_length),
            "short_window": torch.hann_window(self.short_fft_length),
            "mel": mel_filters(shape.num_mels, shape.num_bins, shape.bandwidth_hz),
            "short_mel": mel_filters(shape.num_short_mels, short_bins, shape.bandwidth_hz),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def _magnitudes(
        self, samples: Float[Tensor, "B N"], window: Tensor, hop_length: int
    ) -> Float[Tensor, "B frames bins"]:
        """Magnitude of a sinusoid of amplitude 1 is 1, whatever the window and the rate."""
        margin = (window.shape[0] - hop_length) // 2
        frames = functional.pad(samples, (margin, margin)).unfold(-1, window.shape[0], hop_length)
        return torch.abs(torch.fft.rfft(frames * (window * (2.0 / window.sum()))))

    def analyse(self, samples: Float[Tensor, "B N"]) -> Float[Tensor, "B F features"]:
        """Log spectra of whole frames: N is a multiple of the hop."""
        assert samples.shape[-1] % self.hop_length == 0
        shape = self.shape
        long = self._magnitudes(samples, self.window, self.hop_length)[..., : shape.num_bins]
        short_hop = self.hop_length // shape.short_per_frame
        short = self._magnitudes(samples, self.short_window, short_hop)
        short = short[..., : self.short_mel.shape[0]] @ self.short_mel
        short = short.reshape(*long.shape[:2], -1)
        parts = [long[..., : shape.num_linear], long @ self.mel, short]
        # The constants bring log-magnitudes of speech near zero mean and unit spread.
        return (torch.cat(parts, dim=-1) + LOG_FLOOR).log() * 0.5 + 3.0

    def encode(self, samples: Float[Tensor, "B N"]) -> Float[Tensor, "B F L"]:
        return self.encoder(self.analyse(samples))  # type: ignore[no-any-return]

    def decode(self, latents: Float[Tensor, "B F L"]) -> Float[Tensor, "B N"]:
        """F frames become F · hop samples."""
        return self.synthesise(self.decoder(latents))

    def synthesise(self, predicted: Float[Tensor, "B F outputs"]) -> Float[Tensor, "B N"]:
        """Log-magnitudes and phases to samples: Vocos' inverse transform with "same" padding.

        A full-rate spectrum is twice that of half the rate for the same sound, and its inverse
        divides by twice the length; the factor keeps both decimations equal.
        """
        log_magnitude, phase = predicted.float().chunk(2, dim=-1)
        spectrum = torch.polar(log_magnitude.clamp(max=MAX_LOG_MAGNITUDE).exp(), phase)
        # Shifted, so that phase zero is a pulse in the middle of the window, not at its edge.
        frames = torch.fft.fftshift(torch.fft.irfft(spectrum, n=self.fft_length), dim=-1)
        overlap = self.fft_length // self.hop_length
        summed = _overlap_add(frames * (self.window / self.decimation), overlap)
        square = self.window.square().expand(1, frames.shape[1], -1)
        margin = (self.fft_length - self.hop_length) // 2
        valid = slice(margin, margin + frames.shape[1] * self.hop_length)
        return summed[:, valid] / _overlap_add(square, overlap)[:, valid]


def _overlap_add(frames: Float[Tensor, "B F W"], overlap: int) -> Float[Tensor, "B N"]:
    """Sums frames that start one hop after another, where the window is `overlap` hops long."""
    pieces = frames.reshape(*frames.shape[:2], overlap, -1)
    shifted = [
        functional.pad(pieces[:, :, index], (0, 0, index, overlap - 1 - index))
        for index in range(overlap)
    ]
    return torch.stack(shifted).sum(0).flatten(1)
