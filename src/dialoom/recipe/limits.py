"""What a recipe takes of a corpus, known before its model is loaded: for the doctor."""

from pathlib import Path

from dialoom.checkpoint import ModelInfo
from dialoom.checkpoint.info import from_json
from dialoom.checkpoint.locate import BUNDLED, locate
from dialoom.checkpoint.pretrained import CONFIG_FILE, INFO_FILE, config_from_json
from dialoom.checkpoint.store import read_json
from dialoom.evaluate.doctor_subject import Limits
from dialoom.model import PRESETS, DiaConfig
from dialoom.recipe.settings import Recipe


def limits_of(recipe: Recipe) -> Limits:
    """The limits and the tags of the model that a recipe trains, and the recipe's own.

    Nothing is downloaded: a base that is not on this machine is taken to be as Dia was published.

    Raises:
        CheckpointError: the base's description is damaged.
        RecipeError: the recipe moves a tag of its base.
    """
    config, info = _describe(recipe)
    return Limits(
        tags=recipe.tag_table(info.tags),
        max_text_bytes=config.encoder.max_position_embeddings,
        max_steps=config.decoder.max_position_embeddings,
        recipe_text_bytes=recipe.data.max_text_bytes,
        recipe_seconds=recipe.data.max_seconds,
    )


def _describe(recipe: Recipe) -> tuple[DiaConfig, ModelInfo]:
    """Without reading weights."""
    base = recipe.model.base
    if base is None:
        return PRESETS[recipe.model.preset], ModelInfo()
    if base == BUNDLED or Path(base).expanduser().is_dir():
        directory = locate(base)
        if (directory / INFO_FILE).is_file():
            info, revision = from_json(read_json(directory / INFO_FILE), str(directory / INFO_FILE))
            return config_from_json(read_json(directory / CONFIG_FILE), revision=revision), info
    return DiaConfig(), ModelInfo()
