"""Training: recipes, the loop that follows them, and the folder that comes out."""

from geotrans.train.recipe import LossTerm, Optim, Recipe, Warmup

__all__ = ["LossTerm", "Optim", "Recipe", "Warmup"]
