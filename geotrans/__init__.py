"""geotrans: geometry-aware image translation. Networks that move pixels before they paint them."""

from geotrans.base import count_parameters
from geotrans.convert import convert
from geotrans.factory import (
    create_dataset,
    create_discriminator,
    create_feature,
    create_loss,
    create_model,
    create_recipe,
    create_warp,
    list_datasets,
    list_features,
    list_losses,
    list_models,
    list_recipes,
    list_warps,
    model_info,
    verify_folder,
)
from geotrans.publishing import push_to_hf_hub, save_folder
from geotrans.types import Condition, ConditionSpec, Critique, Sample, Translation
from registry import DATASETS, DISCRIMINATORS, FEATURES, GENERATORS, LOSSES, RECIPES, WARPS

for _table, _package in (
    (GENERATORS, "models"),
    (DISCRIMINATORS, "models"),
    (WARPS, "ops"),
    (LOSSES, "losses"),
    (FEATURES, "features"),
    (DATASETS, "data"),
    (RECIPES, "recipes"),
):
    _table.add_source(f"geotrans.{_package}")

__all__ = [
    "Condition",
    "ConditionSpec",
    "Critique",
    "Sample",
    "Translation",
    "convert",
    "count_parameters",
    "create_dataset",
    "create_discriminator",
    "create_feature",
    "create_loss",
    "create_model",
    "create_recipe",
    "create_warp",
    "list_datasets",
    "list_features",
    "list_losses",
    "list_models",
    "list_recipes",
    "list_warps",
    "model_info",
    "push_to_hf_hub",
    "save_folder",
    "verify_folder",
]
