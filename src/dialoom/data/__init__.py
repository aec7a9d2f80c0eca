"""Sources → corpus → batches."""

from dialoom.data.audio_ref import AudioRef
from dialoom.data.batch import (
    Batch,
    collate,
    drop_text,
    exchange_texts,
    hide_past,
    take_clips,
)
from dialoom.data.clip import Clip, Rejection, SourceClip
from dialoom.data.columns import Columns
from dialoom.data.corpus import Corpus, CorpusInfo, Split, split_of
from dialoom.data.cutting import PieceLimits
from dialoom.data.dataset import Clips, DiaDataset
from dialoom.data.encoding import PrepareOptions
from dialoom.data.listening import Listener, ProgressCallback
from dialoom.data.mixing import MixedDataset, Mixture, choose_evenly, order_of
from dialoom.data.preparation import PrepareSummary, UnknownTags, prepare
from dialoom.data.sampler import LengthBucketSampler
from dialoom.data.sources import open_source
from dialoom.data.writer import CorpusWriter

__all__ = [
    "AudioRef",
    "Batch",
    "Clip",
    "Clips",
    "Columns",
    "Corpus",
    "CorpusInfo",
    "CorpusWriter",
    "DiaDataset",
    "LengthBucketSampler",
    "Listener",
    "MixedDataset",
    "Mixture",
    "PieceLimits",
    "PrepareOptions",
    "PrepareSummary",
    "ProgressCallback",
    "Rejection",
    "SourceClip",
    "Split",
    "UnknownTags",
    "choose_evenly",
    "collate",
    "drop_text",
    "exchange_texts",
    "hide_past",
    "open_source",
    "order_of",
    "prepare",
    "split_of",
    "take_clips",
]
