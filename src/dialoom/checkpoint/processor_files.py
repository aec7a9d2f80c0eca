"""The files that let transformers' AutoProcessor read and write for our checkpoint."""

from pathlib import Path
from typing import Any

from dialoom.checkpoint.info import ModelInfo
from dialoom.checkpoint.store import read_json, write_json
from dialoom.codec import CodecSpec
from dialoom.errors import CheckpointError
from dialoom.model import DiaConfig
from dialoom.text import TagTable

_DAC, _DAC_RATE_HZ, _DAC_HOP = "descript/dac_44khz", 44_100, 512


def is_dac(codec: CodecSpec | None) -> bool:
    """Whether transformers' DacModel decodes the codes; a directory's files say it, not its name.

    A model that does not say its codec speaks Dia's. Of another codec on the Hub nothing is known
    here: then no, rather than noise.
    """
    if codec is None or codec.name == _DAC:
        return True
    if codec.name == "mini" or not Path(codec.name).is_dir():
        return False
    try:
        return read_json(Path(codec.name) / "config.json").get("model_type") == "dac"
    except CheckpointError:
        return False


def write_processor_files(directory: Path, config: DiaConfig, info: ModelInfo) -> None:
    """Writes the tokenizer always, and the processor where its audio tokenizer exists there.

    transformers' DiaProcessor works with a DAC model alone, so a model of another codec gets no
    processor: it would decode its codes into noise.
    """
    write_json(directory / "tokenizer_config.json", _tokenizer_config(config, info.tags))
    codec = info.codec
    if not is_dac(codec):
        return
    name = _DAC if codec is None else codec.name
    rate_hz = _DAC_RATE_HZ if codec is None else codec.sample_rate_hz
    hop_length = _DAC_HOP if codec is None else codec.hop_length
    feature_extractor = {
        "feature_extractor_type": "DiaFeatureExtractor",
        "feature_size": 1,
        "hop_length": hop_length,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": rate_hz,
    }
    write_json(
        directory / "processor_config.json",
        {
            "processor_class": "DiaProcessor",
            "audio_tokenizer": {
                "audio_tokenizer_class": "DacModel",
                "audio_tokenizer_name_or_path": name,
            },
            "feature_extractor": feature_extractor,
        },
    )
    write_json(  # where transformers before 5 looks for it
        directory / "preprocessor_config.json",
        {**feature_extractor, "processor_class": "DiaProcessor"},
    )


def _tokenizer_config(config: DiaConfig, tags: TagTable) -> dict[str, Any]:
    def added(content: str) -> dict[str, Any]:
        flags = dict.fromkeys(("lstrip", "rstrip", "single_word", "special"), False)
        return {"content": content, "normalized": True, **flags}

    return {
        "added_tokens_decoder": {"0": added("<pad>")}
        | {str(byte): added(tag) for tag, byte in tags.bytes_of_tags.items()},
        "max_length": config.encoder.max_position_embeddings,
        "offset": 0,
        "pad_token": "<pad>",
        "processor_class": "DiaProcessor",
        "tokenizer_class": "DiaTokenizer",
        "unk_token": "<pad>",
    }
