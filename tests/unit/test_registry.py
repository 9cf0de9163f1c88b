import subprocess
import sys

import pytest

from registry import (
    DuplicateNameError,
    ModelName,
    Registry,
    UnknownNameError,
    load_plugins,
    parse_model_name,
)
from registry import core as registry_core


@pytest.fixture
def table():
    table = Registry("toy")

    def alpha_small():
        return 1

    def alpha_large():
        return 2

    def beta():
        return 3

    for factory in (alpha_small, alpha_large, beta):
        table.register(factory, None)
    return table


def test_registered_name_is_the_functions_name(table):
    assert table.get("alpha_small").factory() == 1


def test_wildcards_and_excludes(table):
    assert table.names("alpha*") == ["alpha_large", "alpha_small"]
    assert table.names(["alpha*", "beta"], exclude="*_large") == ["alpha_small", "beta"]
    assert list(table) == ["alpha_large", "alpha_small", "beta"]
    assert len(table) == 3
    assert "beta" in table
    assert "gamma" not in table


def test_unknown_name_offers_close_matches(table):
    with pytest.raises(UnknownNameError, match=r"no toy is named 'alpha_smal'; did you mean 'alpha_small'"):
        table.get("alpha_smal")
    with pytest.raises(UnknownNameError, match=r"there are: alpha_large, alpha_small, beta"):
        table.get("zzz")


def test_a_clash_names_both_places(table):
    def beta():
        return 4

    with pytest.raises(DuplicateNameError, match=r"two toys are named 'beta': .*test_registry\.py:\d+ and .*\d+"):
        table.register(beta, None)


def test_origin_is_file_and_line(table):
    path, _, line = table.origin("beta").rpartition(":")
    assert path == __file__
    assert int(line) > 0


def test_temporary_names_are_forgotten(table):
    with table.temporary():

        def gamma():
            return 5

        table.register(gamma, None)
        assert "gamma" in table
    assert "gamma" not in table


def test_modules_are_found_by_scanning(tmp_path, monkeypatch):
    package = tmp_path / "scanned_toys"
    package.mkdir()
    (package / "__init__.py").write_text("from registry import Registry\nTOYS = Registry('toy')\n")
    (package / "one.py").write_text("from scanned_toys import TOYS\ndef uno(): ...\nTOYS.register(uno, None)\n")
    (package / "_private.py").write_text("raise RuntimeError('private modules are not scanned')\n")
    monkeypatch.syspath_prepend(tmp_path)
    from scanned_toys import TOYS

    TOYS.add_source("scanned_toys")
    assert TOYS.names() == ["uno"]


def test_an_import_error_in_a_scanned_module_is_not_swallowed(tmp_path, monkeypatch):
    package = tmp_path / "broken_toys"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    table = Registry("toy")
    table.add_source("broken_toys")
    with pytest.raises(ImportError, match="no_such_module_anywhere"):
        table.names()


class _Point:
    def __init__(self, value, load):
        self.value, self.name, self.load = value, value, load


def test_plugins_load_once_and_name_themselves_when_broken(monkeypatch):
    loads = []
    points = [_Point("plugin_that_works", lambda: loads.append(1))]
    monkeypatch.setattr(registry_core.importlib.metadata, "entry_points", lambda group: points)
    load_plugins(again=True)
    load_plugins(again=True)
    assert loads == [1]
    points.append(_Point("plugin_that_breaks", lambda: 1 / 0))
    with pytest.raises(ImportError, match=r"plugin 'plugin_that_breaks' .* does not import: division by zero"):
        load_plugins(again=True)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("spm_refine_64", ModelName(arch="spm_refine_64")),
        ("spm_refine_64.synthface", ModelName(arch="spm_refine_64", tag="synthface")),
        ("local-dir:runs/a b", ModelName(folder="runs/a b")),
        ("hf-hub:org/name", ModelName(repo="org/name")),
        ("hf-hub:org/na.me@v1", ModelName(repo="org/na.me", revision="v1")),
    ],
)
def test_model_names(text, parsed):
    assert parse_model_name(text) == parsed
    assert str(parsed) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("org/name", r"write hf-hub:org/name .* or local-dir:org/name"),
        ("local-dir:", "needs a path"),
        ("hf-hub:name", "needs ORG/NAME"),
        ("hf-hub:../../etc", "needs ORG/NAME"),
        ("SPM-64", "expected arch or arch.tag"),
        ("spm_64.", "expected arch or arch.tag"),
        ("", "expected arch or arch.tag"),
    ],
)
def test_bad_model_names_say_how_to_write_them(text, message):
    with pytest.raises(ValueError, match=message):
        parse_model_name(text)


def test_registry_imports_nothing_heavy():
    timing = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import registry"], capture_output=True, text=True, check=True
    ).stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in timing.splitlines()}
    assert "registry" in imported
    assert not imported & {"torch", "numpy", "timm", "safetensors", "huggingface_hub", "geotrans", "hub"}
