"""Codes ↔ .npy files: an integer array, (frames, codebooks)."""

import tokenize
from pathlib import Path

import numpy as np

from dialoom.codec.base import Codes
from dialoom.errors import CodecError

CODES_SUFFIX = ".npy"


def read_codes(path: Path) -> Codes:
    """Inverse of `write_codes`.

    Raises:
        CodecError: there is no such file, it is no .npy, or no array of codes.
    """
    if not path.is_file():
        raise CodecError(f"{path}: no such file; correct the path")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise CodecError(
            f"{path}: no .npy, or damaged ({type(error).__name__}); save the codes again"
        ) from None
    if (
        not isinstance(array, np.ndarray)
        or array.ndim != 2
        or array.dtype.kind not in "iu"
        or array.size == 0
    ):
        found = getattr(array, "shape", None), getattr(array, "dtype", type(array).__name__)
        raise CodecError(
            f"{path}: holds {found[1]} of shape {found[0]}; codes are whole numbers, (frames, "
            "codebooks)"
        )
    if int(array.min()) < 0 or int(array.max()) > np.iinfo(np.uint16).max:
        raise CodecError(
            f"{path}: holds ids from {array.min()} to {array.max()}, no codec has these; save the "
            "codes again"
        )
    return Codes(array.astype(np.uint16))


def write_codes(path: Path, codes: Codes) -> None:
    """Writes int64, which every reader of .npy knows."""
    with path.open("wb") as file:  # np.save would append .npy to another name
        np.save(file, codes.frames.astype(np.int64))
