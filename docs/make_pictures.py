"""Make the pictures of the README: `python docs/make_pictures.py`. Takes half a minute and no network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from geotrans import Condition, create_dataset, create_model
from geotrans.data.base import Dataset
from geotrans.edit import combine
from geotrans.figures import faces, sweep
from geotrans.ops.condition import pick
from geotrans.ops.images import write_image
from geotrans.viz import flow_to_rgb, sheet, titled_grid

ATTRIBUTES = ("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose")


def main() -> None:
    """Write every picture into the folder that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "pictures", help="folder to write to")
    output = parser.parse_args().output
    write_image(output / "translation.png", translation())
    write_image(output / "shapes.png", shapes())
    write_image(output / "cartoon.png", cartoon())
    write_image(output / "people.png", people())
    write_image(output / "views.png", views())
    write_image(output / "basis.png", basis())
    write_image(output / "synthface.png", synthface())
    write_image(output / "sweep.png", action_units())


def translation() -> torch.Tensor:
    """What moves and what is painted: SPM on drawn faces that it has not seen."""
    return _translated("spm_refine_64.synthface", "synthface", [4, 5, 12, 21])


def shapes() -> torch.Tensor:
    """Squares become circles and back (SPM, Fig. 3)."""
    return _translated("spm_refine_64.shapes", "shapes", [0, 1, 2, 3])


def cartoon() -> torch.Tensor:
    """Photos become cartoons without a single pair to learn from (SPM's face to bitmoji, Fig. 11)."""
    return _translated("spm_refine_64.synthface_cartoon", "synthface", [0, 8, 12, 40], domains=["photo", "cartoon"])


def people() -> torch.Tensor:
    """Persons in another pose (GFLA)."""
    return _translated("gfla_64.synthpeople", "synthpeople", [0, 4, 8, 12])


def views() -> torch.Tensor:
    """Toy cars from another side (Appearance Flow)."""
    return _translated("appflow_64.synthviews", "synthviews", [0, 4, 8, 12])


def basis() -> torch.Tensor:
    """One attribute at a time, and the sum of their motion fields rendered once (SPM, Fig. 7)."""
    model = create_model("spm_refine_64.synthface", pretrained=True)
    data = create_dataset("synthface", split="test")
    image, columns = _neutral_faces(data, 3), {}
    columns["source"] = image
    wanted = {"smile": ["Smiling"], "brows": ["Arched_Eyebrows"], "nose": ["Big_Nose"]}
    wanted["sum"] = [name for names in wanted.values() for name in names]
    for title, names in wanted.items():
        out = combine(model, image, [_one_hot(name, len(image)) for name in names])
        assert out.flow is not None
        columns[f"{title}: flow"] = flow_to_rgb(out.flow)
        columns[title] = out.image
    return titled_grid(columns, scale=2)


def action_units() -> torch.Tensor:
    """Action units turned up in steps (DefGAN, Fig. 1)."""
    model = create_model("defgan_displace_64.synthface_au", pretrained=True)
    return sweep(model, faces(model, 1), ["AU12", "AU04", "AU01+AU02", "AU26"])


def synthface() -> torch.Tensor:
    """The built-in benchmark at 128 pixels: people, the same people in another mood, and drawn in another modality."""
    people = range(0, 32, 4)  # four pictures of each follow one another
    mood = create_dataset("synthface", split="test", resolution=128, task="emotion").batch(people)
    style = create_dataset("synthface", split="test", resolution=128, task="modality").batch(people)
    assert mood.truth is not None
    assert style.truth is not None
    rows = [torch.cat(list(pictures), dim=2) for pictures in (mood.image, mood.truth, style.truth)]
    return torch.cat(rows, dim=1)[None]


def _translated(name: str, dataset: str, rows: list[int], domains: Sequence[str] = ()) -> torch.Tensor:
    model = create_model(name, pretrained=True)
    options = {"task": "modality", "domains": domains} if domains else {}
    data = create_dataset(dataset, split="test", **options)
    sample = data.batch(rows)
    assert sample.target is not None
    with torch.inference_mode():
        conditions = (pick(model.cfg.condition, shown, data.spec, None) for shown in (sample.target, sample.source))
        out = model(sample.image, *conditions)
    return sheet(sample, out, scale=2)


def _neutral_faces(data: Dataset, count: int) -> torch.Tensor:
    sample = data.batch(range(200))
    assert sample.source is not None
    assert sample.source.attributes is not None
    plain = (sample.source.attributes.sum(1) == 0).nonzero()[:count, 0]
    return sample.image[plain]


def _one_hot(name: str, batch: int) -> Condition:
    row = torch.tensor([float(attribute == name) for attribute in ATTRIBUTES])
    return Condition(attributes=row.expand(batch, -1))


if __name__ == "__main__":
    main()
