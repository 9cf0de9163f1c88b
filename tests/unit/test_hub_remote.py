"""Push and pull through the real client against a server on the loopback interface, with and without failures."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import geotrans
import registry.weights
from geotrans import create_model, list_models, model_info, save_folder, verify_folder
from geotrans.cli import main
from geotrans.models.spm import SPM, SPMConfig
from geotrans.models.stargan import StarGAN
from geotrans.recorded import random_condition
from hub import remote
from hub.download import from_hub, resolve, weights_digest
from hub.files import read_json, read_safetensors, sha256, write_json, write_safetensors
from hub.folder import BUNDLED, FILES
from hub.push import push
from registry import Weights, parse_model_name, register_weights
from tests.hub_server import FAULTS, PULL_STEPS, PUSH_STEPS, SLOW, Hub, blob_id

# the client sends files as `data=`, which its HTTP library calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SCORE = {"value": 0.25, "n": 1000, "low": 0.2, "high": 0.3, "unit": "px", "version": 1}
RESULTS = {
    "training": {"images": 7, "seconds": 60.0, "device": "cpu", "recipe": {"batch_size": 2}},
    "scores": {"synthface_attr4_64 v1": {"scores": {"flow_epe": SCORE}, "created": "2026-01-02T00:00:00"}},
}


def make(path, seed=0):
    torch.manual_seed(seed)
    model = create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1)
    return model.save_pretrained(path, tag="test", results=RESULTS)


@pytest.fixture(scope="module")
def server():
    hub = Hub()
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("published") / "spm")


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """An empty Hub, an empty cache, and waits that take no time."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session, disable_progress_bars

    changes = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
    }
    for name, value in changes.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    disable_progress_bars()
    server.repos.clear()
    server.objects.clear()
    server.requests.clear()
    server.token = None
    server.fail("", "")
    yield server
    close_session()


def cached_files(path):
    return [file for file in Path(path).rglob("blobs/*") if not file.name.endswith((".incomplete", ".lock"))]


def digests_hold(path):
    """Whether every file of a cache has the digest that its name states."""
    for file in cached_files(path):
        found = sha256(file) if len(file.name) == 64 else blob_id(file.read_bytes())
        if found != file.name:
            return False
    return True


def forward(model):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.inference_mode():
        return model(image, random_condition(model.cfg.condition, 1, 64, 64)).image


def test_round_trip(hub, folder, tmp_path):
    from huggingface_hub import HfApi, ModelCard

    done = push(folder, "me/spm")
    assert done.changed
    assert [model.id for model in HfApi().list_models(author="me")] == ["me/spm"]
    names = HfApi().list_repo_files("me/spm")
    assert {*FILES, "recipe.json", ".eval_results/synthface_attr4_64.yaml"} <= set(names)
    assert HfApi().model_info("me/spm").sha == done.commit
    assert weights_digest("me/spm") == sha256(folder / "model.safetensors")

    name = f"hf-hub:me/spm@{done.commit}"
    assert model_info(name).parameters == model_info(f"local-dir:{folder}").parameters
    main(["download", name, "--cache-dir", str(tmp_path / "other")])
    there = resolve(parse_model_name(name), tmp_path / "other")
    assert tmp_path / "other" in there.parents
    assert verify_folder(there) == 0
    model = create_model("hf-hub:me/spm", pretrained=True)
    assert torch.equal(forward(model), forward(create_model(f"local-dir:{folder}", pretrained=True)))

    card = ModelCard((there / "README.md").read_text())
    assert (card.data.library_name, card.data.pipeline_tag, card.data.license) == (
        *("geotrans", "image-to-image", "apache-2.0"),
    )
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.metric_args["low"]) == ("flow_epe", 0.25, 0.2)
    assert 'create_model("hf-hub:me/spm", pretrained=True)' in card.text
    for text in ("Smiling, Arched_Eyebrows", "7 images in 1.0 minutes", "Differences from the paper", "0.2 to 0.3"):
        assert text in card.text


def test_pushing_again_changes_nothing(hub, folder):
    first = push(folder, "me/spm")
    hub.requests.clear()
    again = push(folder, "me/spm")
    assert (again.commit, again.changed) == (first.commit, False)
    assert "put" not in hub.requests
    assert "commit" not in hub.requests


def test_a_changed_folder_replaces_its_own_files_and_no_others(hub, folder, tmp_path):
    push(folder, "me/spm")
    repo = hub.repos["me/spm"]
    repo.commit("main", {**repo.commits[repo.heads["main"]], "notes.txt": b"mine"})
    shutil.copytree(folder, tmp_path / "changed")
    write_json(tmp_path / "changed" / "results.json", {})
    assert push(tmp_path / "changed", "me/spm").changed
    names = set(repo.commits[repo.heads["main"]])
    assert names == {*FILES, "notes.txt", ".gitattributes"}


def test_branches_proposals_and_private_repositories(hub, folder, monkeypatch):
    push(folder, "me/spm", private=True)
    repo = hub.repos["me/spm"]
    before = repo.heads["main"]
    assert repo.private
    push(make(folder.parent / "second", 1), "me/spm", revision="next")
    assert (repo.heads["main"], len(repo.heads)) == (before, 2)
    assert "/discussions/1" in push(folder.parent / "second", "me/spm", create_pr=True).url
    assert repo.heads["main"] == before
    next_model = create_model("hf-hub:me/spm@next", pretrained=True)
    assert not torch.equal(forward(next_model), forward(create_model("hf-hub:me/spm", pretrained=True)))
    hub.token = "secret"
    weights_digest("me/spm")
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(LookupError, match=r"hf-hub:me/spm: no such repository on the Hub, or no right to read it"):
        weights_digest("me/spm")


def test_the_hf_command_and_ours_read_and_write_the_same_repository(hub, folder, tmp_path):
    push(folder, "me/spm")
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    hf = Path(sys.executable).parent / "hf"
    run = {"capture_output": True, "text": True, "check": True, "env": env}
    subprocess.run([hf, "download", "me/spm", "--local-dir", tmp_path / "copy"], **run)
    for name in ("config.json", "model.safetensors", "check.safetensors", "results.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
    done = subprocess.run([sys.executable, "-m", "geotrans", "download", "hf-hub:me/spm"], **run)
    assert str(tmp_path / "home" / "hub" / "models--me--spm" / "snapshots") in done.stdout
    subprocess.run([hf, "upload", "me/theirs", folder, ".", "--token", "x"], **run)
    done = subprocess.run([sys.executable, "-m", "geotrans", "download", "hf-hub:me/theirs"], **run)
    theirs = next((tmp_path / "home" / "hub" / "models--me--theirs" / "snapshots").iterdir())
    assert str(theirs) in done.stdout
    assert verify_folder(theirs) < 1e-5


def outcome(call):
    """ "" if a call succeeds, else its message, which must be one line; and how many seconds it took."""
    message, start = "", time.perf_counter()
    try:
        call()
    except (ConnectionError, LookupError, ValueError, PermissionError, FileNotFoundError) as error:
        message = str(error)
    assert len(message.splitlines()) == bool(message)
    assert not message or "me/spm" in message
    return message, time.perf_counter() - start


def show(line):
    """A row of a table, seen with `pytest -s`."""
    sys.stdout.write(line + "\n")


@pytest.fixture
def impatient(hub, monkeypatch):
    """Time-outs that slow answers exceed: ours, and those of each version of the client."""
    from huggingface_hub import constants

    for name in ("TIMEOUT", "SENT_TIMEOUT"):
        monkeypatch.setattr(remote, name, SLOW / 2.5)
    for name in ("DEFAULT_REQUEST_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(constants, name, SLOW / 2.5)


@pytest.mark.parametrize("times", [1, 99])
def test_every_failure_of_every_request_of_a_push(hub, impatient, folder, times):
    wanted = {name: (folder / name).read_bytes() for name in FILES if name != "README.md"}
    for step in PUSH_STEPS:
        for fault in FAULTS:
            hub.repos.clear()
            hub.objects.clear()
            hub.fail(step, fault, times)
            message, seconds = outcome(lambda: push(folder, "me/spm"))
            show(f"push {step:10} {fault:6} x{times:<3} {seconds:4.1f} s  {message or 'ok'}")
            assert seconds < 10, (step, fault)
            repo = hub.repos.get("me/spm")
            for commit in repo.commits.values() if repo else ():
                assert set(commit) == {".gitattributes"} or wanted.items() <= commit.items(), (step, fault)
            if times == 1:
                assert not message, (step, fault)
                assert len(repo.commits) == 2, (step, fault)
            elif fault in ("slow", "stall") and step not in ("put", "verify", "commit"):  # what was done is found
                assert "the Hub keeps failing" in message, (step, fault)


@pytest.mark.parametrize("times", [1, 99])
def test_every_failure_of_every_request_of_a_pull(hub, impatient, folder, tmp_path, times):
    push(folder, "me/spm")
    for step in PULL_STEPS:
        for fault in FAULTS:
            cache = tmp_path / f"{step}{fault}{times}"
            hub.fail(step, fault, times)
            message, seconds = outcome(lambda cache=cache: from_hub("me/spm", cache_dir=cache))
            show(f"pull {step:10} {fault:6} x{times:<3} {seconds:4.1f} s  {message or 'ok'}")
            assert seconds < 10, (step, fault)
            assert digests_hold(cache), (step, fault)
            assert not message or times == 99, (step, fault)
            assert bool(message) == (not (cache / "models--me--spm" / "refs" / "main").is_file())
            hub.fail("", "")
            assert (from_hub("me/spm", cache_dir=cache) / "model.safetensors").is_file()


def test_a_cached_file_that_changed_is_fetched_again(hub, folder, tmp_path):
    commit = push(folder, "me/spm").commit
    blob = (from_hub("me/spm", commit) / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    assert sha256(from_hub("me/spm", commit) / "model.safetensors") == sha256(folder / "model.safetensors")


@pytest.fixture
def no_sockets(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    def block():
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    return block


def test_offline_cached_models_load_and_others_say_what_is_missing(hub, folder, tmp_path, monkeypatch, no_sockets):
    from huggingface_hub import constants

    commit = push(folder, "me/spm").commit
    create_model("hf-hub:me/spm", pretrained=True)
    no_sockets()
    create_model(f"hf-hub:me/spm@{commit}", pretrained=True)  # a commit never changes: nothing is asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(
        forward(create_model("hf-hub:me/spm", pretrained=True)),
        forward(create_model(f"local-dir:{folder}", pretrained=True)),
    )
    with pytest.raises(FileNotFoundError) as missing:
        create_model("hf-hub:me/other", pretrained=True, cache_dir=tmp_path / "empty")
    text = str(missing.value)
    assert "config.json and model.safetensors are missing in" in text
    assert str(tmp_path / "empty" / "models--me--other" / "snapshots") in text


def test_a_hub_that_is_gone_leaves_the_cache_usable(hub, folder, monkeypatch):
    from huggingface_hub import constants

    push(folder, "me/spm")
    create_model("hf-hub:me/spm", pretrained=True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    create_model("hf-hub:me/spm", pretrained=True)
    with pytest.raises(FileNotFoundError, match=r"hf-hub:me/other is not in the local cache"):
        create_model("hf-hub:me/other", pretrained=True)


def test_registered_weights_have_a_tag(hub, folder, monkeypatch):
    commit = push(folder, "me/spm").commit
    monkeypatch.setattr(registry.weights, "_WEIGHTS", {})
    register_weights("spm_refine_64.far", Weights("me/spm", commit, sha256(folder / "model.safetensors"), "apache-2.0"))
    register_weights("spm_refine_64.forged", Weights("me/spm", commit, "0" * 64, "apache-2.0"))
    assert "spm_refine_64.far" in list_models("spm*", pretrained=True)
    assert "far" in model_info("spm_refine_64").weights
    assert create_model("spm_refine_64.far", pretrained=True).cfg.width == 4
    with pytest.raises(ValueError, match=r"has sha256 .* registered is 000000000000"):
        create_model("spm_refine_64.forged", pretrained=True)
    with pytest.raises(LookupError, match=r"it has: .*far, forged"):
        create_model("spm_refine_64.near", pretrained=True)
    with pytest.raises(ValueError, match="commit hash"):
        register_weights("spm_refine_64.main", Weights("me/spm", "main", "0" * 64, "apache-2.0"))


def test_the_surface_of_the_hub_mixin(hub, folder, tmp_path):
    model = SPM.from_pretrained(folder)
    assert model.save_pretrained(tmp_path / "again") == tmp_path / "again"
    assert read_json(tmp_path / "again" / "config.json")["arch"] == "spm_refine_64"
    assert model.push_to_hub("me/mixin", tag="test").startswith(hub.url)
    assert geotrans.push_to_hf_hub(model, "me/timm", private=True).startswith(hub.url)
    assert torch.equal(forward(SPM.from_pretrained("me/mixin")), forward(model))
    assert torch.equal(forward(SPM.from_pretrained("me/timm", revision="main")), forward(model))
    with pytest.raises(TypeError, match="is a SPM, not a StarGAN"):
        StarGAN.from_pretrained(folder)


def test_what_is_not_fit_for_publishing_is_refused_before_the_first_byte(hub, folder, tmp_path):
    def broken(change):
        path = tmp_path / "broken"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(folder, path)
        change(path)
        with pytest.raises((ValueError, FileNotFoundError)) as refused:
            push(path, "me/spm")
        return str(refused.value)

    def edit(path, **changes):
        write_json(path / "config.json", {**read_json(path / "config.json"), **changes})

    assert "not a file of a published folder" in broken(lambda p: (p / "weights.bin").write_bytes(b""))
    assert "symbolic link" in broken(lambda p: (p / "samples.png").symlink_to("/etc/hostname"))
    assert "check.safetensors missing" in broken(lambda p: (p / "check.safetensors").unlink())
    assert "is no name of an architecture" in broken(lambda p: edit(p, arch="../spm"))
    assert "not a whole safetensors file" in broken(lambda p: os.truncate(p / "model.safetensors", 999))
    assert "expected at most" in broken(lambda p: (p / "README.md").write_text("x" * 1_000_001))
    assert "not UTF-8 text" in broken(lambda p: (p / "README.md").write_bytes(b"\xff"))
    assert "another config" in broken(lambda p: edit(p, config={"width": 9}))
    assert "expected an object" in broken(lambda p: (p / "results.json").write_text("[]"))
    with pytest.raises(ValueError, match="expected ORG/NAME"):
        push(folder, "spm")
    assert hub.requests == []


@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLED.iterdir() if path.is_dir()))
def test_bundled_folders_are_ready_to_be_pushed(hub, name, capsys):
    main(["push", str(BUNDLED / name), f"me/{name}", "--dry-run"])
    assert "nothing was sent" in capsys.readouterr().out
    assert hub.requests == []


def test_push_prints_where_it_went(hub, folder, capsys):
    main(["push", str(folder), "me/spm"])
    main(["push", str(folder), "me/spm"])
    out = capsys.readouterr().out
    assert f"{hub.url}/me/spm/commit/" in out
    assert "holds these files already" in out


HOSTILE = """
import json, re, sys, tempfile, time
if sys.argv[2] == "torch":
    from geotrans import create_model
    load = lambda name, cache: create_model(name, pretrained=True, cache_dir=cache)
else:
    from hub.download import resolve
    from registry import parse_model_name
    load = lambda name, cache: resolve(parse_model_name(name), cache)
load("hf-hub:evil/none", None)  # all that is imported late

def megabytes(field):  # getrusage would count what the parent process had before this one was started
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1e3

before, library, answers = megabytes("VmRSS"), megabytes("RssFile"), {}
for name in 3 * sys.argv[3:]:
    if name in answers and answers[name][1] < 1:
        continue  # otherwise again, into an empty cache: the machine may have been busy
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        load(name, tempfile.mkdtemp(dir=sys.argv[1]))
        message = ""
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    answers[name] = (message, time.perf_counter() - wall, time.process_time() - cpu)
assert ("torch" in sys.modules) == (sys.argv[2] == "torch")
print(json.dumps([answers, megabytes("VmHWM"), before, library]))
"""


@pytest.fixture
def evil(hub, folder, tmp_path):
    """Names of hostile models -> what the refusal says, and whether PyTorch is needed to see it."""
    good = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    config = json.loads(good["config.json"])

    def without(name):
        return {key: value for key, value in good.items() if key != name}

    def stored(tensors):
        write_safetensors(tmp_path / "forged", tensors)
        return (tmp_path / "forged").read_bytes()

    def with_config(arch="spm_refine_64", **fields):
        changed = {**config, "arch": arch, "config": {**config["config"], **fields}}
        # the weights' metadata must not give the forgery away
        forged = stored(read_safetensors(folder / "model.safetensors")[0])
        return {**good, "config.json": json.dumps(changed).encode(), "model.safetensors": forged}

    torch.save({"w": torch.zeros(1)}, tmp_path / "pickle")
    pickle = (tmp_path / "pickle").read_bytes()
    other = (make(tmp_path / "other", 7) / "check.safetensors").read_bytes()
    check = read_safetensors(folder / "check.safetensors")[0]
    odd = stored({**check, "out/image": check["out/image"].to(torch.float8_e5m2)})
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({str(i): empty for i in range(99_999)}).encode()
    length = len(header).to_bytes(8, "little")
    by_files = {
        "pickle-beside": ({**without("model.safetensors"), "pytorch_model.bin": pickle}, "pytorch_model.bin is not re"),
        "pickle-inside": ({**good, "model.safetensors": pickle}, "not a whole safetensors file"),
        "climbing": ({**good, "../../outside": b"x"}, "leads out of its folder"),
        "absolute": ({**good, "/etc/cron.d/x": b"x"}, "leads out of its folder"),
        "symlink": ({**good, "model.safetensors": b"../../../../etc/passwd"}, "not a whole safetensors file"),
        "bomb-nested": ({**good, "config.json": b"[" * 150_000}, "not JSON"),
        "bomb-large": ({**good, "config.json": b"[" + b"[]," * 5_000_000 + b"0]"}, "expected at most 200000"),
        "bomb-number": ({**good, "config.json": b'{"arch": ' + b"9" * 150_000 + b"}"}, "not JSON"),
        "bomb-header": ({**good, "model.safetensors": length + header}, "a header of"),
        "long-header": (
            {**good, "model.safetensors": (10**15).to_bytes(8, "little") + b"{}"},
            "a header of 10000",
        ),
        "other-config": ({**with_config(width=8), "model.safetensors": good["model.safetensors"]}, "another config"),
    }
    by_model = {
        "wide": (with_config(width=1_000_000), "asks for 1000000; expected numbers of at most"),
        "wide-but-allowed": (with_config(width=WIDE), "do not fit SPM: shapes"),
        "deep": (with_config(blocks=65_000), "asks for more tensors than the"),
        "many-columns": (with_config(condition={"attributes": ["a"] * 20_000}), "do not fit SPM"),
        "negative": (with_config(width=-4), "can be built from config.json"),
        "wrong-type": (with_config(width="x" * 1000), "does not fit spm_refine_64"),
        "unknown-arch": (with_config(arch="spm_refine_99"), "no model is named 'spm_refine_99'"),
        "bomb-results": ({**good, "results.json": b"[" * 1_500_000}, "not JSON"),
        "other-check": ({**good, "check.safetensors": other}, "another picture"),
        "odd-check": ({**good, "check.safetensors": odd}, "does not fit the model"),
        "no-check": (without("check.safetensors"), "holds no recorded call"),
    }
    for case, files in {"none": (good, ""), **by_files, **by_model}.items():
        hub.create(f"evil/{case}").commit("main", files[0])
    linked = shutil.copytree(folder, tmp_path / "linked")
    (linked / "config.json").unlink()
    (linked / "config.json").symlink_to("/dev/zero")
    names = {f"hf-hub:evil/{case}": (said, True) for case, (_, said) in by_model.items()}
    names |= {f"hf-hub:evil/{case}": (said, False) for case, (_, said) in by_files.items()}
    return {**names, f"local-dir:{linked}": ("config.json: no such file", True)}


WIDE = 60_000  # numbers of that size are allowed, and make a model of more than 10^12 parameters


def test_the_wide_model_has_a_trillion_parameters():
    with torch.device("meta"):
        model = SPM(SPMConfig(width=WIDE))
    assert geotrans.count_parameters(model) > 10**12


@pytest.mark.parametrize("libraries", ["torch", "no torch"])
def test_hostile_repositories_are_refused_quickly(hub, evil, tmp_path, libraries):
    """In less than a second and 500 MB each, libraries' files aside; with them, where PyTorch need not be imported."""
    cases = {name: said for name, (said, needs_torch) in evil.items() if libraries == "torch" or not needs_torch}
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", HOSTILE, tmp_path, libraries, *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    answers, peak, before, library = json.loads(done.stdout.splitlines()[-1])
    for name, expected in cases.items():
        message, wall, cpu = answers[name]
        show(f"{name[-24:]:24} {wall:.2f} s ({cpu:.2f} s of CPU)  {message[:150]}")
        assert expected in message, name
        assert len(message.splitlines()) == 1, name
        assert wall < 1, name
    show(f"{libraries}: peak {peak:.0f} MB ({library:.0f} MB are libraries), {peak - before:.0f} MB since the imports")
    assert peak - library < 500
    assert libraries == "torch" or peak < 500
    assert not list(tmp_path.rglob("outside"))


def test_revisions_never_become_paths(hub, tmp_path):
    with pytest.raises(ValueError, match="is no revision"):
        create_model("hf-hub:me/spm@../../x", pretrained=True)
    assert hub.requests == []


def test_model_names_with_a_slash_are_asked_for_in_both_spellings():
    with pytest.raises(ValueError, match="hf-hub:me/spm for a Hub repository or local-dir:me/spm for a folder"):
        create_model("me/spm", pretrained=True)


def test_saved_folders_of_other_classes_are_not_registered(tmp_path):
    with pytest.raises(LookupError, match="is no registered model"):
        type("Own", (SPM,), {})(create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1).cfg).save_pretrained(
            tmp_path / "own"
        )
    assert save_folder(create_model("identity"), tmp_path / "same", arch="identity", tag="t").is_dir()
