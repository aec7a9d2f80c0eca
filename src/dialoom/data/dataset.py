"""The clips of a split that fit, ready to be batched."""

from typing import Protocol, runtime_checkable

import numpy as np

from dialoom.codec.base import CodecSpec
from dialoom.data.clip import Clip
from dialoom.data.corpus import Corpus, Split, refuse_other_codec
from dialoom.data.script import text_ids
from dialoom.errors import DataError
from dialoom.text import TagTable


def max_frames(max_seconds: float, frames_per_second: float) -> int:
    """Whole frames within a duration; one computed from frames gives those frames back."""
    return int(max_seconds * frames_per_second + 1e-6)


@runtime_checkable
class Clips(Protocol):
    """The clips of a split, of one corpus or of several; attributes as of `DiaDataset`."""

    lengths: list[int]
    num_left_out: int

    @property
    def text_lengths(self) -> list[int]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Clip: ...
    @property
    def languages(self) -> list[str]: ...


class DiaDataset:
    """One split of a corpus, as `torch.utils.data.DataLoader` takes it.

    Clips beyond a limit are left out whole and counted, never cut: a clip without its end teaches
    the model to stop in the middle, and a text without its end teaches it to babble.

    Attributes:
        lengths: frames of each clip.
        text_lengths: bytes of each clip's text, tags counted as the model reads them.
        num_left_out: clips of the split that are beyond a limit.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        split: Split,
        max_seconds: float | None = None,
        max_text_bytes: int | None = None,
        tags: TagTable | None = None,
        expect_codec: CodecSpec | None = None,
        may_be_empty: bool = False,
    ) -> None:
        """Chooses the clips; reads no codes.

        Raises:
            DataError: the corpus was made with another codec, or no clip is left and one must be.
        """
        if expect_codec is not None:
            refuse_other_codec(corpus.path, found=corpus.info.codec, expected=expect_codec)
        self._corpus = corpus
        candidates = corpus.indices(split)
        fits = np.ones(len(corpus), dtype=bool)
        if max_seconds is not None:
            fits &= corpus.lengths <= max_frames(max_seconds, corpus.info.codec.frames_per_second)
        self._tags = tags or TagTable.default()
        if max_text_bytes is not None:
            sizes = [len(text_ids(*text, self._tags)) for text in corpus.texts]
            fits &= np.array(sizes) <= max_text_bytes
        self._indices = [i for i in candidates if fits[i]]
        self.num_left_out = len(candidates) - len(self._indices)
        self.lengths = corpus.lengths[self._indices].tolist()
        if not self._indices and not may_be_empty:
            raise DataError(
                f"corpus {corpus.path}: of {len(candidates)} clips of split {split!r} none is "
                f"within max_seconds={max_seconds}, max_text_bytes={max_text_bytes}; raise the "
                "limits, or prepare it with another --valid-fraction"
            )

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Clip:
        return self._corpus[self._indices[index]]

    @property
    def text_lengths(self) -> list[int]:
        """Bytes of each clip's text, tags counted as the model reads them."""
        texts = self._corpus.texts
        return [len(text_ids(*texts[i], self._tags)) for i in self._indices]

    @property
    def languages(self) -> list[str]:
        """Languages of the clips, sorted; clips that name none count for nothing."""
        texts = self._corpus.texts
        return sorted({language for i in self._indices if (language := texts[i][1])})
