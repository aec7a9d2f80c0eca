"""Pictures of a run, drawn with matplotlib's object interface: no global figure, no display."""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from dialoom.observe.metrics import RunMetrics, TrainRecord, ValidRecord

SPECTROGRAM_WINDOW_S = 0.025
SPECTROGRAM_PIXELS_PER_SECOND = 100
SPECTROGRAM_TOP_HZ = 8_000
SPECTROGRAM_RANGE_DB = 70.0
"""What is so much quieter than the loudest point is drawn as silence."""


def loss_curves(metrics: RunMetrics) -> Figure:
    """Loss per channel over the steps: training as lines, validation as points on lines."""
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for records, marker in ((metrics.train, ""), (metrics.valid, "o")):
        _draw_losses(axes, records, marker)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss, nats per target")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    if axes.lines:
        axes.legend(fontsize="small", ncols=2)
    return figure


def figure_bytes(figure: Figure, *, image_format: Literal["png", "svg"]) -> bytes:
    """The figure as a file's content; the same figure gives the same bytes."""
    canvas = FigureCanvasAgg(figure) if image_format == "png" else FigureCanvasSVG(figure)
    metadata = {"Software": None} if image_format == "png" else {"Date": None, "Creator": None}
    buffer = io.BytesIO()
    canvas.print_figure(buffer, format=image_format, dpi=150, metadata=metadata)
    return buffer.getvalue()


def spectrogram_png(
    samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int, height: int = 96
) -> bytes:
    """Spectrogram up to 8 kHz, low frequencies below, one pixel for each 10 ms, without axes."""
    levels = _spectrogram_levels(samples, sample_rate_hz)
    palette = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    image = Image.fromarray(levels[::-1])
    image.putpalette(palette.tobytes())
    image = image.resize((image.width, height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _draw_losses(
    axes: Axes, records: Sequence[TrainRecord] | Sequence[ValidRecord], marker: str
) -> None:
    if not records:
        return
    split = records[0].kind
    steps = [record.step for record in records]
    num_channels = len(records[0].loss_channels)
    shades = colormaps["viridis"](np.linspace(0.0, 0.9, num_channels))
    for channel, shade in enumerate(shades):
        losses = [record.loss_channels[channel] for record in records]
        axes.plot(
            steps, losses, marker=marker, color=shade, lw=1, label=f"{split}, channel {channel}"
        )


def _spectrogram_levels(
    samples: Float32[np.ndarray, " N"], sample_rate_hz: int
) -> UInt8[np.ndarray, "bands frames"]:
    """Decibels below the loudest point, 255 … 0, of the bands up to SPECTROGRAM_TOP_HZ."""
    window = round(SPECTROGRAM_WINDOW_S * sample_rate_hz)
    hop = sample_rate_hz / SPECTROGRAM_PIXELS_PER_SECOND
    padded = np.pad(samples, (window // 2, window))
    num_frames = max(1, int(len(samples) / hop))
    starts = (np.arange(num_frames) * hop).astype(int)
    frames = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    spectrum = np.abs(np.fft.rfft(frames, axis=1)).T
    num_bands = int(SPECTROGRAM_TOP_HZ * window / sample_rate_hz) + 1
    decibels = 20 * np.log10(spectrum[:num_bands] + 1e-7)
    share = 1 + (decibels - decibels.max()) / SPECTROGRAM_RANGE_DB
    levels: UInt8[np.ndarray, "bands frames"] = (np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)
    return levels
