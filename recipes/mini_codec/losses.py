"""How far a reconstruction is from its target, as spectra of several window lengths see it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dialoom.codec.mini_network import mel_filters

WINDOWS = (128, 256, 512, 1024, 2048)
NUM_MELS = (12, 20, 40, 80, 120)
ADVANCE_WINDOWS = (512, 1024)
LOG_FLOOR = 3e-4
"""-70 dB: what is quieter is not worth codes."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the four terms of `SpectralLoss`."""

    mel: float = 1.0
    log_magnitude: float = 0.5
    convergence: float = 0.5
    advance: float = 6.0


class SpectralLoss(nn.Module):
    """Multi-resolution spectral distance between waveforms at half the codec's rate.

    Log-magnitude and spectral convergence are those of Parallel WaveGAN (Yamamoto et al.,
    arXiv 1910.11480), the mel term is that of DAC (Kumar et al., arXiv 2306.06546).

    The phase of the decoder is free, so no term compares phases. The advance term compares how
    they *change* from one spectrum to the next, which is the frequency of every partial (the
    instantaneous-frequency loss of APNet, arXiv 2305.07952, weighted by magnitude).
    """

    def __init__(self, rate_hz: int, weights: LossWeights) -> None:
        super().__init__()
        self.weights = weights
        for length, num_mels in zip(WINDOWS, NUM_MELS, strict=True):
            window = torch.hann_window(length)
            self.register_buffer(f"window_{length}", window * (2.0 / window.sum()))
            filters = mel_filters(num_mels, length // 2 + 1, rate_hz / 2)
            self.register_buffer(f"mel_{length}", filters)

    def _spectrum(self, samples: Float[Tensor, "B N"], length: int) -> Tensor:
        window = self.get_buffer(f"window_{length}")
        return torch.stft(samples, length, length // 4, window=window, return_complex=True)

    def forward(
        self,
        made: Float[Tensor, "B N"],
        wanted: Float[Tensor, "B N"],
        windows: Sequence[int] = WINDOWS,
    ) -> dict[str, Tensor]:
        """Weighted terms by name, over some of the windows; their sum is the loss."""
        terms: dict[str, list[Tensor]] = defaultdict(list)
        for length in windows:
            with torch.no_grad():
                wanted_spectrum = self._spectrum(wanted, length)
            made_spectrum = self._spectrum(made, length)
            x, y = magnitude(made_spectrum), magnitude(wanted_spectrum)
            filters = self.get_buffer(f"mel_{length}").T
            terms["mel"].append(log_distance(filters @ x, filters @ y))
            terms["log_magnitude"].append(log_distance(x, y))
            gap = (x - y).square().sum((1, 2)).sqrt() / (y.square().sum((1, 2)).sqrt() + 0.05)
            terms["convergence"].append(gap.mean())
            if length in ADVANCE_WINDOWS:
                change = phase_advance(made_spectrum) - phase_advance(wanted_spectrum)
                terms["advance"].append(magnitude(change).mean())
        return {
            name: getattr(self.weights, name) * torch.stack(values).mean()
            for name, values in terms.items()
        }


def magnitude(spectrum: Tensor) -> Tensor:
    # The root of zero has no gradient.
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()


def log_distance(x: Tensor, y: Tensor) -> Tensor:
    return ((x + LOG_FLOOR).log() - (y + LOG_FLOOR).log()).abs().mean()


def phase_advance(spectrum: Tensor) -> Tensor:
    """Turn of every bin's phase per hop, with the root of its magnitude as length."""
    product = spectrum[..., 1:] * spectrum[..., :-1].conj()
    return product * (magnitude(product) + 1e-7) ** -0.75
