"""Speech while it is made: frames gathered to chunks, chunks decoded in windows."""

from collections.abc import Iterator

import numpy as np
import torch

from dialoom.audio.waveform import Waveform
from dialoom.codec import Codec, Codes, WindowedDecoder
from dialoom.errors import GenerationError
from dialoom.generate.decode import Decoding
from dialoom.generate.request import Generated

FIRST_CHUNK_FRAMES = 4
"""50 ms of sound: the first is to be heard soon."""

LARGEST_CHUNK_FRAMES = 32
"""A window costs the codec's overlap besides its own frames, so larger chunks are cheaper. They
grow to twice the length of the one before, which an engine of twice real time keeps up with."""


def stream_codes(decoding: Decoding) -> Iterator[Generated]:
    """The frames of a batch of one, as they are finished.

    A frame is finished when its most delayed channel is there. Nothing is decoded ahead of what is
    asked for; the last piece, without frames, says whether the model ended by itself.
    """
    told = 0
    while not decoding.is_done:
        decoding.advance()
        codes = decoding.frames(0)[told:]
        if codes.shape[0]:
            told += codes.shape[0]
            yield Generated(codes, stopped=False)
    whole = decoding.results[0]
    yield Generated(whole.codes[told:], whole.stopped)


def stream_waveforms(pieces: Iterator[Generated], codec: Codec) -> Iterator[Waveform]:
    """The sound of one clip, chunk by chunk; no chunk is empty.

    Raises:
        GenerationError: the clip has no frames.
    """
    decoder = WindowedDecoder(codec)
    heard = False
    for piece in in_chunks(pieces, lookahead=codec.reach.after):
        waveform = decoder.push(to_codes(piece))
        if waveform.num_samples:
            heard = True
            yield waveform
    last = decoder.finish()
    if not heard and not last.num_samples:
        raise GenerationError("the model ended before it said anything: try another --seed")
    if last.num_samples:
        yield last


def in_chunks(pieces: Iterator[Generated], *, lookahead: int) -> Iterator[Generated]:
    """Pieces of single frames gathered to chunks that grow; the last one may have no frames.

    Args:
        pieces: as `stream_codes` gives them.
        lookahead: frames that the codec keeps waiting; the first chunk has so many more.
    """
    gathered: list[Generated] = []
    num_frames, wanted = 0, FIRST_CHUNK_FRAMES
    missing = lookahead
    for piece in pieces:
        gathered.append(piece)
        num_frames += piece.codes.shape[0]
        if num_frames >= missing + wanted:
            yield _joined(gathered)
            gathered, num_frames, missing = [], 0, 0
            wanted = min(2 * wanted, LARGEST_CHUNK_FRAMES)
    if gathered:
        yield _joined(gathered)


def to_codes(generated: Generated) -> Codes:
    return Codes(generated.codes.numpy().astype(np.uint16))


def _joined(pieces: list[Generated]) -> Generated:
    return Generated(torch.cat([piece.codes for piece in pieces]), pieces[-1].stopped)
