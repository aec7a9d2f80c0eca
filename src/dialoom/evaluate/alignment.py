"""Dynamic time warping: how far two sequences are apart when each may wait for the other.

The symmetric form of Sakoe and Chiba ("Dynamic programming algorithm optimization for spoken word
recognition", IEEE Trans. ASSP 26, 1978): a diagonal step counts twice, any other step once. So the
weights of every path add up to the two lengths, and a distance divided by them can be compared
between pairs of any lengths.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

CELLS_AT_ONCE = 12_000_000
"""Of the pairs' cost matrices that are worked on together: about 50 MB."""


def warped_distances(
    query: Float64[np.ndarray, "frames coefficients"],
    references: Sequence[Float64[np.ndarray, "_ coefficients"]],
) -> Float64[np.ndarray, " references"]:
    """The mean Euclidean distance of aligned frames, query against every reference.

    The smallest weighted sum over all monotonic paths from both beginnings to both ends, divided by
    the sum of the two lengths. Infinite where a side has no frames. The pairs of a lot are worked
    on together, one anti-diagonal after the other.
    """
    longest = max((len(reference) for reference in references), default=0)
    if len(query) == 0 or longest == 0:
        return np.full(len(references), np.inf)
    lot = max(1, CELLS_AT_ONCE // (len(query) * (len(query) + longest)))
    parts = [
        _warp_lot(query, references[start : start + lot])
        for start in range(0, len(references), lot)
    ]
    return np.concatenate(parts)


def _warp_lot(
    query: Float64[np.ndarray, "frames coefficients"],
    references: Sequence[Float64[np.ndarray, "_ coefficients"]],
) -> Float64[np.ndarray, " references"]:
    """Cell (i, j) of a pair lies on anti-diagonal i + j, at place i of it."""
    num_frames = len(query)
    lengths = np.array([len(reference) for reference in references])
    costs = _cost_diagonals(query, references, longest=int(lengths.max(initial=1)))
    last_diagonals = np.where(lengths > 0, num_frames + lengths - 2, -1)
    totals = np.full(len(references), np.inf)
    shape = (len(references), num_frames + 1)  # place 0 stands for "before the first frame"
    older, newer, newest = (np.full(shape, np.inf, np.float32) for _ in range(3))
    older[:, 0] = 0  # so that the path's first step into (0, 0) is a diagonal one
    for number in range(costs.shape[1]):
        here, there = newest[:, 1:], costs[:, number]
        np.minimum(newer[:, 1:], newer[:, :-1], out=here)  # one frame more of either side
        diagonal = older[:, :-1] + there
        np.minimum(here, diagonal, out=here)
        here += there
        ends = last_diagonals == number
        totals[ends] = here[ends, -1]
        older, newer, newest = newer, newest, older
        newest[:, 0] = np.inf
    means: Float64[np.ndarray, " references"] = totals / (num_frames + lengths)
    return means


def _cost_diagonals(
    query: Float64[np.ndarray, "frames coefficients"],
    references: Sequence[Float64[np.ndarray, "_ coefficients"]],
    *,
    longest: int,
) -> Float32[np.ndarray, "references diagonals frames"]:
    """Distances of all pairs of frames by anti-diagonal; infinite where a pair has none there.

    In a view with one element added to the stride of a row, anti-diagonals are columns.
    """
    num_frames = len(query)
    shape = (len(references), num_frames + longest - 1, num_frames)
    costs = np.full(shape, np.inf, np.float32)
    row, item = costs.strides[1:]
    distances = frame_distances(np.concatenate(references), query)  # one product, for speed
    ends = np.cumsum([len(reference) for reference in references])
    for pair, block in zip(costs, np.split(distances, ends[:-1]), strict=True):
        np.lib.stride_tricks.as_strided(pair, block.shape, (row, row + item))[:] = block
    return costs


def frame_distances(
    left: Float64[np.ndarray, "left_frames coefficients"],
    right: Float64[np.ndarray, "right_frames coefficients"],
) -> Float64[np.ndarray, "left_frames right_frames"]:
    """Euclidean, each frame of one with each of the other."""
    distances: Float64[np.ndarray, "left_frames right_frames"] = -2 * left @ right.T
    distances += (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)
    np.maximum(distances, 0, out=distances)  # rounding may leave less
    np.sqrt(distances, out=distances)
    return distances
