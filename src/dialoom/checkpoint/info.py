"""dialoom.json: what a model must say of itself that transformers' config.json has no place for."""

from dataclasses import asdict, dataclass, field
from typing import Any

from dialoom.codec.base import CodecSpec
from dialoom.errors import CheckpointError, RevisionMissing
from dialoom.model import Revision
from dialoom.text import TagTable

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelInfo:
    """What travels with the weights.

    Attributes:
        tags: the bytes that tags had in training.
        codec: the codec whose codes the model speaks; None where the model does not say.
        recipe_hash: sha256 of the recipe that trained it, hex.
    """

    tags: TagTable = field(default_factory=TagTable.default)
    codec: CodecSpec | None = None
    recipe_hash: str | None = None


def to_json(info: ModelInfo, revision: Revision) -> dict[str, Any]:
    """The content of dialoom.json."""
    return {
        "format_version": FORMAT_VERSION,
        "revision": str(revision),
        "tags": dict(info.tags.bytes_of_tags),
        "codec": None if info.codec is None else asdict(info.codec),
        "recipe_hash": info.recipe_hash,
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
    try:
        codec = None if data.get("codec") is None else CodecSpec(**data["codec"])
        info = ModelInfo(TagTable(data["tags"]), codec, data.get("recipe_hash"))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{where}: the field {error} is missing or does not fit") from None
    return info, Revision.parse(data["revision"])


def missing_revision(where: str) -> str:
    """The refusal of weights that do not say whose mathematics they are for."""
    return (
        f"{where} does not say which revision of Dia its weights are for, and the wrong one "
        f"speaks noise: give --revision {Revision.JUNE_2025} (Dia-1.6B-0626, all of "
        f"transformers) or --revision {Revision.APRIL_2025} (Dia-1.6B of April 2025)"
    )
