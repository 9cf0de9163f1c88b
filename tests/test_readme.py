"""What the README shows works as it stands there."""

import re
from pathlib import Path

import torch

from geotrans import Condition, create_model, list_models
from registry import GENERATORS

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_model_in_one_file_registers_and_runs(tmp_path, monkeypatch):
    (source,) = [block for block in blocks("python") if "@register_generator" in block]
    (tmp_path / "drift_example.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with GENERATORS.temporary():
        import drift_example  # noqa: F401

        assert "drift_base_64" in list_models("drift*")
        model = create_model("drift_base_64", width=4)
        out = model(torch.zeros(2, 3, 16, 16), Condition(attributes=torch.ones(2, 1)))
        assert out.flow.shape == (2, 2, 16, 16)
        assert out.flow.detach().abs().max() <= 0.2


def test_the_three_lines_run():
    (source,) = [block for block in blocks("python") if "pretrained=True" in block]
    names = {"image": torch.zeros(1, 3, 64, 64), "wanted": torch.tensor([[1.0, 0, 0, 0]])}
    exec(compile(source, "README.md", "exec"), names)
    assert names["out"].image.shape == (1, 3, 64, 64)


def test_pictures_and_commands_exist():
    text = README.read_text()
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (README.parent / picture).is_file(), picture
    assert "pip install -e . && python -m eval.run" in text
    assert "pip install -e '.[test]' && pytest" in text
    assert (README.parent / ".ci" / "run").read_text().rstrip().endswith("pip install -e '.[test]' && pytest")
