"""dialoom trains Dia: recordings with transcripts in, a model that speaks them out.

The names below are loaded when they are first used: `import dialoom` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dialoom.audio import Waveform, read_audio, write_audio
    from dialoom.checkpoint import load_model, save_pretrained
    from dialoom.codec import Codec, Codes, load_codec
    from dialoom.data import Corpus, DiaDataset, prepare
    from dialoom.generate import SamplingSettings, Synthesizer, VoicePrompt
    from dialoom.model import DiaConfig, DiaModel
    from dialoom.recipe import Recipe, train
    from dialoom.text import TagTable

__version__ = "0.1.0"

_HOMES = {
    "Codec": "codec",
    "Codes": "codec",
    "Corpus": "data",
    "DiaConfig": "model",
    "DiaDataset": "data",
    "DiaModel": "model",
    "Recipe": "recipe",
    "SamplingSettings": "generate",
    "Synthesizer": "generate",
    "TagTable": "text",
    "VoicePrompt": "generate",
    "Waveform": "audio",
    "load_codec": "codec",
    "load_model": "checkpoint",
    "prepare": "data",
    "read_audio": "audio",
    "save_pretrained": "checkpoint",
    "train": "recipe",
    "write_audio": "audio",
}

__all__ = [
    "Codec",
    "Codes",
    "Corpus",
    "DiaConfig",
    "DiaDataset",
    "DiaModel",
    "Recipe",
    "SamplingSettings",
    "Synthesizer",
    "TagTable",
    "VoicePrompt",
    "Waveform",
    "__version__",
    "load_codec",
    "load_model",
    "prepare",
    "read_audio",
    "save_pretrained",
    "train",
    "write_audio",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dialoom' has no attribute {name!r}")
    return getattr(import_module(f"dialoom.{_HOMES[name]}"), name)
