"""Recipe: every setting of a run in one frozen object, refused early where it cannot be right."""

import hashlib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
)

from dialoom.errors import DialoomError, RecipeError
from dialoom.model import PRESETS, Revision
from dialoom.text import TagTable
from dialoom.train import TrainSettings


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(_Section):
    """Which model to train."""

    base: str | None = None
    """A model to start from: directory, .pth, Hub id …; none starts from random weights."""
    preset: str = "mini"
    """Shape of a new model: mini, small or dia-1.6b; channels, ids and delays are its codec's."""
    revision: Revision | None = None
    """0626 or 2025-04; needed where the base does not say it. A new model is 0626."""
    tags: dict[str, int] = Field(default_factory=dict)
    """Tags besides the base's: "[name]": byte, for named speakers and further languages."""
    codec: str = "descript/dac_44khz"
    """Codec of a base that does not name its own, as the corpus must name it; Dia's is DAC."""

    @field_validator("revision", mode="before")
    @classmethod
    def _undo_octal(cls, revision: object) -> object:
        """YAML reads an unquoted 0626 as an octal number."""
        return Revision.JUNE_2025 if revision in (0o626, 626) else revision

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(f"there is {', '.join(PRESETS)}")
        return preset


_PATH, _LIST = "as a path", "as a list"
"""How a recipe may name its corpora: pydantic puts it into the place of a mistake."""


class CorpusShare(_Section):
    """One of several corpora."""

    path: str
    """As of a single corpus."""
    weight: float | None = Field(default=None, gt=0)
    """Its share of the speech, relative to the others' weights."""


class DataSettings(_Section):
    """Which clips to train on."""

    corpus: Annotated[
        Annotated[str, Tag(_PATH)] | Annotated[tuple[CorpusShare, ...], Tag(_LIST)],
        Discriminator(lambda value: _LIST if isinstance(value, list | tuple) else _PATH),
    ]
    """A corpus made by `dialoom prepare`, relative to the working directory; or a list of several:
    `- path: german`, `weight: 0.7`. Weights, of all or of none, are shares of the seconds heard; an
    epoch has as much speech as all corpora together, without weights every clip once."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Longer clips are left out and counted: the first remedy against out-of-memory."""
    max_text_bytes: int | None = Field(default=None, ge=1)
    """Clips with a longer text are left out and counted."""

    @field_validator("corpus", mode="before")
    @classmethod
    def _take_paths(cls, corpus: object) -> object:
        """A path may stand for itself in a list too."""
        if isinstance(corpus, list):
            return [{"path": item} if isinstance(item, str) else item for item in corpus]
        return str(corpus) if isinstance(corpus, Path) else corpus

    @field_validator("corpus")
    @classmethod
    def _check_shares(cls, corpus: str | tuple[CorpusShare, ...]) -> str | tuple[CorpusShare, ...]:
        if isinstance(corpus, str):
            return corpus
        if not corpus:
            raise ValueError("name at least one corpus")
        if len({share.weight is None for share in corpus}) > 1:
            raise ValueError("give each corpus a weight, or none")
        paths = [share.path for share in corpus]
        if len(set(paths)) < len(paths):
            raise ValueError("one path stands there twice: give it the sum of the weights")
        return corpus

    @property
    def shares(self) -> tuple[tuple[str, float | None], ...]:
        """Path and weight of every corpus."""
        if isinstance(self.corpus, str):
            return ((self.corpus, None),)
        return tuple((share.path, share.weight) for share in self.corpus)


class EvaluateSettings(_Section):
    """What is measured and spoken during training."""

    max_valid_clips: int = Field(default=64, ge=0)
    """Validation clips per pass; 0 is none."""
    sentences: tuple[str, ...] = ()
    """Said by the model of the moment, with their tags."""
    num_clips: int = Field(default=0, ge=0)
    """So many training clips' texts are said too, shortest first, next to their recordings."""
    num_valid_clips: int = Field(default=0, ge=0)
    """So many validation clips' texts are said, next to recordings the model never heard."""
    speech_clips: int = Field(default=8, ge=2)
    """Validation clips whose speech is measured for `train.best_by` and `train.speech_every`."""
    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus; 1 is off."""
    top_k: int = Field(default=45, ge=0)
    """Ids of a channel that stay; 0 is all."""
    cfg_scale: float = Field(default=3.0, ge=0)
    """Classifier-free guidance; 0 is off."""
    max_seconds: float = Field(default=12.0, gt=0)
    """A sample is ended there if it does not end by itself."""


class ObserveSettings(_Section):
    """Where the run's record goes."""

    run_dir: Path | None = None
    """The run's directory; none is runs/ and the recipe's name."""
    tensorboard: bool = True
    """Whether to write for TensorBoard."""
    trackers: tuple[Literal["wandb", "trackio"], ...] = ()
    """Services that get the same curves, sounds and pictures: [wandb], [trackio], or both."""
    project: str = "dialoom"
    """What the runs of these services are grouped by."""


class Recipe(_Section):
    """All settings of a run."""

    model: ModelSettings = ModelSettings()
    data: DataSettings
    train: TrainSettings
    evaluate: EvaluateSettings = EvaluateSettings()
    observe: ObserveSettings = ObserveSettings()

    @property
    def content_hash(self) -> str:
        """sha256 of the resolved recipe, hex."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()

    def to_yaml(self) -> str:
        """The resolved recipe; `load_recipe` reads it back."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text

    def tag_table(self, base: TagTable) -> TagTable:
        """The base's tags and the recipe's; a recipe may not move a tag that the base knows."""
        for tag, byte in self.model.tags.items():
            if base.bytes_of_tags.get(tag, byte) != byte:
                raise RecipeError(
                    f"model.tags: {tag} is byte {base.bytes_of_tags[tag]} in the base, {byte} "
                    "here: the base would read it as something else"
                )
        return TagTable({**base.bytes_of_tags, **self.model.tags})


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Reads a recipe.

    Args:
        path: YAML with the sections model, data, train, evaluate, observe.
        overrides: "section.key=value", the value in YAML; later ones win.

    Raises:
        RecipeError: the file is missing or no YAML, a key is unknown, a value is out of range.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path} holds no sections: model, data, train, evaluate, observe")
    for override in overrides or []:
        _override(data, override)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"recipe {path}: {_first_error(error)}") from None
    except DialoomError as error:
        raise RecipeError(f"recipe {path}: {error}") from None


def _override(data: dict[str, object], override: str) -> None:
    key, equals, value = override.partition("=")
    *sections, name = key.split(".")
    if not (equals and sections and all(sections) and name):
        raise RecipeError(f"override {override!r}: write it as section.key=value")
    part = data
    for section in sections:
        below = part.setdefault(section, {})
        if below is None:
            below = part[section] = {}
        if not isinstance(below, dict):
            raise RecipeError(f"override {override!r}: {section} is no section")
        part = below
    try:
        part[name] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"override {override!r}: the value is no YAML") from None


def _first_error(error: ValidationError) -> str:
    """Place, rule and value of the first mistake, in one line; how many there are besides."""
    details = error.errors()
    first = details[0]
    parts = [str(part) for part in first["loc"] if part not in (_PATH, _LIST)]
    place = ".".join(parts) or "the recipe"
    if first["type"] == "extra_forbidden":
        message = f"{place} is unknown{_known_keys(first['loc'])}"
    elif first["type"] == "missing":
        message = f"{place} is missing"
    else:
        rule = first["msg"].removeprefix("Value error, ")
        message = f"{place} is {first['input']!r}: {rule[0].lower()}{rule[1:]}"
    more = len(details) - 1
    return message if not more else f"{message} ({more} more)"


def _known_keys(location: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = Recipe
    for part in location[:-1]:
        annotation = section.model_fields[str(part)].annotation if section else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        section = annotation
    known = f"; known are {', '.join(section.model_fields)}"
    close = get_close_matches(str(location[-1]), section.model_fields, n=1, cutoff=0.7)
    return known + "".join(f"; is {name} meant?" for name in close)
