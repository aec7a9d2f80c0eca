"""One frozen object of all settings, and the run that it describes."""

from dialoom.recipe.run import RunResult, run_recipe, train
from dialoom.recipe.settings import Recipe, load_recipe

__all__ = ["Recipe", "RunResult", "load_recipe", "run_recipe", "train"]
