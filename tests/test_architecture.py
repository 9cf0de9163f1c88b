"""Properties of the tree as a whole."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("registry", "hub", "geotrans", "eval")


def sources():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_one_grid_sample_in_the_library():
    calls = [path.relative_to(ROOT) for path in sources() for _ in re.finditer(r"\bgrid_sample\(", path.read_text())]
    assert calls == [Path("geotrans/ops/warp.py")]


def test_importing_geotrans_loads_no_heavy_package():
    heavy = ["torchvision", "timm", "lpips", "facenet_pytorch", "pytorch_fid", "matplotlib", "huggingface_hub", "scipy"]
    code = f"import sys, geotrans; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_no_pickle_is_ever_loaded_unsafely():
    for path in sources():
        for call in re.findall(r"torch\.load\([^)]*\)", path.read_text()):
            assert "weights_only=True" in call, path
        assert not re.search(r"\bpickle\.loads?\(", path.read_text()), path


def test_tests_are_not_shipped():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'include = ["registry*", "hub*", "geotrans*", "eval*"]' in text
