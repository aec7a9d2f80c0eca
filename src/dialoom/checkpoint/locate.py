"""A model's name → where its files are on this machine; Hub ids are fetched."""

import re
from importlib.resources import files
from pathlib import Path

from dialoom.errors import CheckpointError

BUNDLED = "mini"

_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_CHOICES = (
    "give a directory with config.json, a .safetensors or .pth file, or a Hub id such as "
    "nari-labs/Dia-1.6B-0626"
)


def locate(source: str | Path) -> Path:
    """The file or directory that a MODEL is; of a run it is the newest checkpoint.

    Raises:
        CheckpointError: there is none, and the Hub has none.
    """
    if source == BUNDLED:
        return _bundled()
    path = Path(source).expanduser()
    if path.exists():
        return within_run(path)
    match = _HUB_ID.fullmatch(str(source))
    if match is None or isinstance(source, Path):
        raise CheckpointError(f"no model at {source}: {_CHOICES}")
    return _fetch(match[1], match[2])


def within_run(path: Path) -> Path:
    """The newest checkpoint of a run's directory; any other path is what it is."""
    newest = path / "checkpoints" / "last"
    return newest if newest.exists() else path


def _bundled() -> Path:
    path = Path(str(files("dialoom") / "models" / BUNDLED))
    if not path.is_dir():
        raise CheckpointError(f"the model 'mini' is not bundled yet: {_CHOICES}")
    return path


def _fetch(repository: str, hub_revision: str | None) -> Path:
    """Downloads what a model consists of; cache, token and mirror as the HF_ variables say.

    The published April repository has the same weights twice; only the safetensors are fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    def fetch(*patterns: str) -> Path:
        return Path(
            snapshot_download(repository, revision=hub_revision, allow_patterns=list(patterns))
        )

    try:
        directory = fetch("*.json", "*.safetensors")
        if not any(directory.glob("*.safetensors")):
            directory = fetch("*.json", "adapter_model.bin", "*.pth")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"no model at {repository}, and the Hub did not give it ({type(error).__name__}): "
            "check the name, the connection, and HF_TOKEN if it is private"
        ) from None
    return directory
