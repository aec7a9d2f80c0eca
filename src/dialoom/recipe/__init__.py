"""One frozen object of all settings, and the run that it describes."""

from dialoom.recipe.limits import limits_of
from dialoom.recipe.resuming import RECIPE_FILE
from dialoom.recipe.run import RunResult, run_recipe, train
from dialoom.recipe.settings import Recipe, load_recipe

__all__ = [
    "RECIPE_FILE",
    "Recipe",
    "RunResult",
    "limits_of",
    "load_recipe",
    "run_recipe",
    "train",
]
