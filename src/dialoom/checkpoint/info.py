"""dialoom.json: what a model must say of itself that transformers' config.json has no place for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dialoom.codec.base import CodecSpec
from dialoom.errors import CheckpointError, RevisionMissing, TextError
from dialoom.model import Revision
from dialoom.text import TagTable

FORMAT_VERSION = 1

SAMPLING_KEYS = ("temperature", "top_p", "top_k", "cfg_scale")
"""Of how to speak, what may suit one model and not another."""


@dataclass(frozen=True)
class ModelInfo:
    """What travels with the weights.

    Attributes:
        tags: the bytes that tags had in training.
        codec: the codec whose codes the model speaks; None where the model does not say.
        recipe_hash: sha256 of the recipe that trained it, hex.
        sampling: settings that suit it, of `SAMPLING_KEYS`; empty where it does not say.
    """

    tags: TagTable = field(default_factory=TagTable.default)
    codec: CodecSpec | None = None
    recipe_hash: str | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)


def to_json(info: ModelInfo, revision: Revision) -> dict[str, Any]:
    """The content of dialoom.json."""
    return {
        "format_version": FORMAT_VERSION,
        "revision": str(revision),
        "tags": dict(info.tags.bytes_of_tags),
        "codec": None if info.codec is None else asdict(info.codec),
        "recipe_hash": info.recipe_hash,
        "sampling": dict(info.sampling),
    }


def from_json(data: dict[str, Any], where: str) -> tuple[ModelInfo, Revision]:
    """Inverse of `to_json`.

    Raises:
        CheckpointError: no revision, a newer format, or fields that do not fit.
    """
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{where}: format_version is {version!r}, this dialoom reads {FORMAT_VERSION}"
        )
    if data.get("revision") is None:
        raise RevisionMissing(missing_revision(where))
    recipe_hash = data.get("recipe_hash")
    if not isinstance(recipe_hash, str | None):
        raise CheckpointError(f"{where}: recipe_hash is {recipe_hash!r}, it is text or null")
    try:
        revision = Revision.parse(str(data["revision"]))
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}") from None
    info = ModelInfo(
        _tags(data, where), _codec(data.get("codec"), where), recipe_hash, _sampling(data, where)
    )
    return info, revision


def _sampling(data: dict[str, Any], where: str) -> dict[str, float]:
    sampling = data.get("sampling", {})
    if not isinstance(sampling, dict) or any(
        name not in SAMPLING_KEYS or type(value) not in (int, float)
        for name, value in sampling.items()
    ):
        raise CheckpointError(
            f"{where}: sampling is {sampling!r}, it must be numbers for some of "
            f"{', '.join(SAMPLING_KEYS)}"
        )
    return sampling


def _tags(data: dict[str, Any], where: str) -> TagTable:
    tags = data.get("tags")
    if not isinstance(tags, dict) or any(type(byte) is not int for byte in tags.values()):
        raise CheckpointError(
            f"{where}: tags is {tags!r}, it must say the byte of each tag: an object of whole "
            "numbers"
        )
    try:
        return TagTable(tags)
    except TextError as error:
        raise CheckpointError(f"{where}: {error}") from None


def _codec(data: object, where: str) -> CodecSpec | None:
    if data is None:
        return None
    names = {known.name for known in fields(CodecSpec)}
    if not isinstance(data, dict) or data.keys() != names:
        raise CheckpointError(
            f"{where}: codec does not fit: it must be null or have {', '.join(sorted(names))}"
        )
    for known in fields(CodecSpec):
        value = data[known.name]
        if type(value) is not known.type or (known.type is int and value < 1):
            rule = "a whole number of at least 1" if known.type is int else "text"
            raise CheckpointError(f"{where}: codec.{known.name} is {value!r}, it must be {rule}")
    return CodecSpec(**data)


def missing_revision(where: str) -> str:
    """The refusal of weights that do not say whose mathematics they are for."""
    return (
        f"{where} does not say which revision of Dia its weights are for, and the wrong one "
        f"speaks noise: give --revision {Revision.JUNE_2025} (Dia-1.6B-0626, all of "
        f"transformers) or --revision {Revision.APRIL_2025} (Dia-1.6B of April 2025)"
    )
