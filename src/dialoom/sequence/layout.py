"""TokenLayout: which ids a channel has, and by how many steps each channel is late."""

from dataclasses import dataclass

DIA_DELAY_PATTERN = (0, 8, 9, 10, 11, 12, 13, 14, 15)

DIA_FRAMES_PER_SECOND = 44_100 / 512
"""Of the codec that Dia's delays are for."""

IGNORE_INDEX = -100
"""Target that is no part of the loss; PyTorch's default."""


@dataclass(frozen=True)
class TokenLayout:
    """Ids and delays of the audio channels.

    Codes are 0 … codebook_size - 1; the three special ids follow them. The defaults are Dia's.

    Attributes:
        delay_pattern: steps by which each channel is late; its length is the number of channels.
        codebook_size: codes per channel.
        eos_id: ends a channel.
        pad_id: fills what lies after the end.
        bos_id: stands before the first frame.
        vocab_size: ids per channel, V.
    """

    delay_pattern: tuple[int, ...] = DIA_DELAY_PATTERN
    codebook_size: int = 1024
    eos_id: int = 1024
    pad_id: int = 1025
    bos_id: int = 1026
    vocab_size: int = 1028

    def __post_init__(self) -> None:
        if not self.delay_pattern or min(self.delay_pattern) < 0 or self.delay_pattern[0] != 0:
            raise ValueError(
                f"delay_pattern {self.delay_pattern}: delays are ≥ 0 and the first is 0, because "
                "channel 0 decides where a clip ends"
            )
        special = {self.eos_id, self.pad_id, self.bos_id}
        if len(special) != 3 or min(special) < self.codebook_size:
            raise ValueError(f"EOS, PAD and BOS must be three ids from {self.codebook_size} on")
        if max(special) >= self.vocab_size:
            raise ValueError(f"vocab_size {self.vocab_size} does not cover the ids {special}")

    @property
    def num_channels(self) -> int:
        return len(self.delay_pattern)

    @property
    def max_delay(self) -> int:
        return max(self.delay_pattern)

    def num_steps(self, num_frames: int, *, complete: bool = True) -> int:
        """Decoder steps of a clip: BOS, the frames, the delay, and EOS if the clip is complete."""
        return num_frames + self.max_delay + (2 if complete else 1)


def layout_for(*, num_codebooks: int, codebook_size: int, frames_per_second: float) -> TokenLayout:
    """The layout of a model for any codec; for Dia's codec it is Dia's.

    Channel 1 is as many milliseconds late as Dia's, 8 of its frames, and at least one frame; each
    further channel one frame more, so that a frame's channels are said one after the other (Copet
    et al., arXiv 2306.05284). EOS, PAD and BOS follow the codes, and one id is spare, as in Dia.

    Args:
        num_codebooks: channels.
        codebook_size: codes per channel.
        frames_per_second: of the codec.
    """
    dia = TokenLayout()
    first = max(1, round(dia.delay_pattern[1] * frames_per_second / DIA_FRAMES_PER_SECOND))
    return TokenLayout(
        delay_pattern=(0, *(first + channel for channel in range(num_codebooks - 1))),
        codebook_size=codebook_size,
        eos_id=codebook_size,
        pad_id=codebook_size + 1,
        bos_id=codebook_size + 2,
        vocab_size=codebook_size + dia.vocab_size - dia.codebook_size,
    )
