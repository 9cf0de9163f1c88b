"""The papers' recipes for objects from other sides: GFLA and Appearance Flow, on renderings of ShapeNet's cars.

Pictures are those of Sun et al., 2018, which GFLA learns from; Appearance Flow's authors made their own, every 5
degrees. For GFLA, VGG-19's weights must be on the machine. None of these has been run at full length, so no scores
stand behind them yet.

For chairs, --set dataset_options.category=chair; of Appearance Flow then also --set generator=appflow_chair_224.
"""

from __future__ import annotations

from geotrans.recipes.papers_pose import flow_stage, whole_stage
from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe


@register_recipe
def gfla_view_256_shapenet_views_flow() -> Recipe:
    """GFLA on views, the first stage: the flow field estimator alone, as for persons.

    A pair has one elevation, and any two azimuths, one and the same too.
    """
    return flow_stage("gfla_view_256", "shapenet_views", {"resolution": 256, "flip": False}, (3, 5))


@register_recipe
def gfla_view_256_shapenet_views() -> Recipe:
    """GFLA on views, the second stage: everything, from the weights of `gfla_view_256_shapenet_views_flow`."""
    return whole_stage(gfla_view_256_shapenet_views_flow(), "gfla_d_256", (3, 5))


@register_recipe
def appflow_car_224_shapenet_views() -> Recipe:
    """Appearance Flow on cars, 10 pairs a step: the mean absolute difference from the true view.

    The authors take its mean over the car alone, and train its silhouette beside it (a weight of 0.1), for which the
    data has no masks: here it is over the picture, and the silhouette stays as it was drawn. They name no length; here
    are 400,000 steps at their rate.
    """
    return Recipe(
        generator="appflow_car_224",
        dataset="shapenet_views",
        dataset_options={"resolution": 224, "condition": "turns", "flip": False},
        g_losses=(LossTerm("rec_l1", 1.0),),
        g_optim=Optim(lr=1e-4, betas=(0.9, 0.999)),
        batch_size=10,
        total_images=400_000 * 10,
        tag="shapenet_views",
    )
