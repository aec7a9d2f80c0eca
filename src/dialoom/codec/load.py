"""A codec by its name; what is not asked for is not imported."""

import json
from pathlib import Path

from dialoom.codec.base import Codec
from dialoom.errors import CodecError

HUB_NAMES = {"dac": "descript/dac_44khz", "mimi": "kyutai/mimi"}

CHOICES = "'mini', 'dac', 'mimi', a Hub id, a directory of a DAC or Mimi, or a mini weights file"


def load_codec(name: str, *, device: str = "cpu") -> Codec:
    """Loads the codec that a name, a Hub id, a directory or a file stands for.

    Raises:
        CodecError: there is no such codec or device, it cannot be fetched, or it is damaged.
    """
    source = HUB_NAMES.get(name, name)
    is_mini = name == "mini" or Path(name).is_file()
    is_directory = not is_mini and Path(source).is_dir()
    if not is_mini and not is_directory and "/" not in source:
        raise CodecError(f"codec {name!r} is unknown; choose {CHOICES}")
    check_device(device)
    if is_mini:
        from dialoom.codec.mini import MiniCodec

        return MiniCodec.load(None if name == "mini" else Path(name), device=device)
    # Absolute, so that the name in a corpus finds the codec from any working directory.
    return _load_transformers_codec(
        str(Path(source).absolute()) if is_directory else source, device
    )


def check_device(device: str) -> None:
    """Refuses a device that this machine does not have, or that PyTorch does not know.

    Raises:
        CodecError: says which there are.
    """
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = 0 if accelerator is None else torch.accelerator.device_count()
    there = ["cpu"]
    if accelerator is not None:
        there += [accelerator.type, *(f"{accelerator.type}:{i}" for i in range(count))]
    if device not in there:
        raise CodecError(f"device {device!r}: there is none here; choose one of {', '.join(there)}")


def _load_transformers_codec(source: str, device: str) -> Codec:
    from dialoom.codec.pretrained import local_directory

    model_type = _model_type(local_directory(source))
    if model_type == "dac":
        from dialoom.codec.dac import DacCodec

        return DacCodec.load(source, device)
    if model_type == "mimi":
        from dialoom.codec.mimi import MimiCodec

        return MimiCodec.load(source, device)
    raise CodecError(
        f"codec {source}: its config.json says model_type {model_type!r}, which is neither 'dac' "
        f"nor 'mimi'; choose {CHOICES}"
    )


def _model_type(directory: Path) -> str:
    path = directory / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CodecError(
            f"codec {directory}: no config.json that names a model_type ({type(error).__name__}); "
            f"choose {CHOICES}"
        ) from error
