"""From a model name to a folder on this machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub import files
from hub.folder import CONFIG, FILES, LIMITS, WEIGHTS, bundled_folders, inspect_folder
from hub.remote import WAITS, BrokenTransferError, attempt, check_revision
from registry import ModelName, registered_weights

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_DIGEST = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\Z")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def resolve(name: ModelName, cache_dir: str | Path | None = None) -> Path:
    """The published folder behind a name: a local one as it stands, a Hub one from the cache or downloaded into it.

    Args:
        cache_dir: instead of the Hub client's cache (`HF_HUB_CACHE`).

    Raises:
        LookupError: the architecture has no weights of that tag (the message lists the tags), or no such repository.
        FileNotFoundError: the Hub repository cannot be reached and is not in the cache.
        ValueError: the repository does not hold a published folder, or other weights than the registered ones.
        ConnectionError: the Hub stops answering half-way; whole files stay in the cache, broken ones do not.
    """
    if name.folder is not None:
        if not Path(name.folder).is_dir():
            raise FileNotFoundError(f"{name}: no such folder; expected one with {', '.join(FILES)}")
        return Path(name.folder)
    if name.repo is not None:
        return from_hub(name.repo, name.revision, cache_dir=cache_dir)
    return _tagged(name, cache_dir)


def _tagged(name: ModelName, cache_dir: str | Path | None) -> Path:
    bundled, registered = bundled_folders(), registered_weights()
    names = [key for key in {**bundled, **registered} if key.partition(".")[0] == name.arch]
    tags = {key.partition(".")[2]: key for key in names}
    if not tags:
        raise LookupError(f"{name.arch} has no weights; build it untrained, or give local-dir:PATH or hf-hub:ORG/NAME")
    if name.tag is not None and name.tag not in tags:
        raise LookupError(f"{name.arch} has no weights tagged {name.tag!r}; it has: {', '.join(tags)}")
    key = tags[name.tag] if name.tag is not None else names[0]
    if key in bundled:
        return bundled[key]
    weights = registered[key]
    return from_hub(weights.repo, weights.revision, cache_dir=cache_dir, sha256=weights.sha256)


def from_hub(
    repo: str, revision: str | None = None, *, cache_dir: str | Path | None = None, sha256: str | None = None
) -> Path:
    """The files of a published folder in a Hub repository, in the client's cache; each digest is checked.

    A revision that is a commit hash and is cached whole costs no request. A branch is asked for; when the Hub does not
    answer, what was cached last is used.

    Args:
        sha256: what model.safetensors must have.

    Raises:
        As `resolve`.
    """
    check_revision(revision)
    what = f"hf-hub:{repo}" + (f"@{revision}" if revision else "")
    store = _store(repo, cache_dir)
    cached = _cached(store, revision)
    if cached is None or not _COMMIT.match(revision or ""):
        cached = _refresh(what, repo, revision, store, cached)
    if sha256 is not None and (found := files.sha256(cached / WEIGHTS)) != sha256:
        raise ValueError(f"{what}: {WEIGHTS} has sha256 {found[:12]}..., registered is {sha256[:12]}...; not loaded")
    inspect_folder(cached)
    return cached


def weights_digest(repo: str, revision: str | None = None) -> str | None:
    """sha256 of a repository's model.safetensors as the Hub states it; nothing is downloaded."""
    check_revision(revision)
    return next((file.digest for file in _listing(f"hf-hub:{repo}", repo, revision)[1] if file.name == WEIGHTS), None)


def dataset_files(repo: str, pattern: str, *, cache_dir: str | Path | None = None, limit: int = 1000) -> list[Path]:
    """The files of a dataset repository whose whole path matches a regular expression, each digest checked.

    Args:
        limit: how many there may be.

    Raises:
        LookupError: no such repository, or no right to read it.
        ValueError: there are more files than `limit`, or one is larger than JSON may be.
        ConnectionError: the Hub does not answer.
    """
    what, store = f"dataset {repo}", _store(repo, cache_dir, "dataset")
    commit, remote = _listing(what, repo, None, kind="dataset")
    wanted = [file for file in remote if re.fullmatch(pattern, file.name)]
    if len(wanted) > limit:
        raise ValueError(f"{what}: {len(wanted)} files; expected at most {limit}")
    if large := [file.name for file in wanted if file.size > files.MAX_JSON_BYTES]:
        raise ValueError(f"{what}: {large[0]} has more than {files.MAX_JSON_BYTES} bytes")
    return [
        attempt(f"{what}, {file.name}", lambda file=file: _fetch(repo, commit, file, store, "dataset"))  # type: ignore[misc]
        for file in wanted
    ]


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    """digest: sha256 of a large file, or the git blob id (sha1) of a small one."""

    name: str
    size: int
    digest: str


def _refresh(what: str, repo: str, revision: str | None, store: Path, cached: Path | None) -> Path:
    try:
        commit, remote = _listing(what, repo, revision, () if cached is not None else WAITS)
    except ConnectionError as error:
        if cached is not None:
            return cached
        raise FileNotFoundError(
            f"{what} is not in the local cache and the Hub does not answer ({error}): {CONFIG} and {WEIGHTS} are "
            f"missing in {store / 'snapshots'}; connect once, or put {', '.join(FILES)} into a folder and name it "
            f"local-dir:PATH"
        ) from error
    for file in _wanted(what, remote):
        attempt(f"{what}, {file.name}", lambda file=file: _fetch(repo, commit, file, store))  # type: ignore[misc]
    if revision != commit:
        files.write_text(store / "refs" / (revision or "main"), commit)  # only now: a ref names a whole version
    return store / "snapshots" / commit


def _listing(
    what: str, repo: str, revision: str | None, waits: tuple[float, ...] = WAITS, kind: str = "model"
) -> tuple[str, list[_RemoteFile]]:
    """The commit that a revision means, and its files."""
    from huggingface_hub import HfApi

    def ask() -> Any:
        return HfApi().repo_info(repo, repo_type=kind, revision=revision, files_metadata=True)

    info = attempt(what, ask, waits=waits)
    if not _COMMIT.match(info.sha or ""):
        raise ValueError(f"{what}: the Hub names no commit for it")
    remote = []
    for file in info.siblings or ():
        name, digest = str(file.rfilename), (file.lfs.sha256 if file.lfs else file.blob_id) or ""
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise ValueError(f"{what}: refused, it has a file named {name!r}, which leads out of its folder")
        remote.append(_RemoteFile(name, int(file.size or 0), str(digest)))
    return str(info.sha), remote


def _wanted(what: str, remote: list[_RemoteFile]) -> list[_RemoteFile]:
    names = {file.name for file in remote}
    if missing := [name for name in (CONFIG, WEIGHTS) if name not in names]:
        pickles = sorted(name for name in names if name.endswith(_PICKLES))
        hint = f"; {', '.join(pickles)} is not read, it may run code (see geotrans convert)" if pickles else ""
        raise ValueError(f"{what}: not a published folder, {' and '.join(missing)} missing{hint}")
    wanted = [file for file in remote if file.name in FILES]
    for file in wanted:
        if file.size > LIMITS.get(file.name, file.size):
            raise ValueError(f"{what}: {file.name} has {file.size} bytes; expected at most {LIMITS[file.name]}")
    return wanted


def _fetch(repo: str, commit: str, file: _RemoteFile, store: Path, kind: str = "model") -> Path:
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(repo, file.name, revision=commit, cache_dir=store.parent, repo_type=kind))
    if not _intact(path, file.digest or path.resolve().name):  # a mirror may leave digests out
        _discard(path)
        raise BrokenTransferError(f"{file.name} arrived with another digest than the repository states")
    return path


def _store(repo: str, cache_dir: str | Path | None, kind: str = "model") -> Path:
    """The folder of a repository in the cache."""
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE).expanduser() / (f"{kind}s--" + repo.replace("/", "--"))


def _cached(store: Path, revision: str | None) -> Path | None:
    """The cached version that a revision means, if it is whole; files with a wrong digest are thrown out."""
    ref = store / "refs" / (revision or "main")
    commit = revision if revision and _COMMIT.match(revision) else ref.read_text().strip() if ref.is_file() else ""
    folder = store / "snapshots" / commit
    if not _COMMIT.match(commit) or not folder.is_dir():
        return None
    for path in folder.iterdir():
        # the client names a blob by its digest; without symbolic links there is no name to check
        if path.name in FILES and path.is_symlink() and not _intact(path, path.resolve().name):
            _discard(path)
    return folder if all((folder / name).is_file() for name in (CONFIG, WEIGHTS)) else None


def _intact(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    if not _DIGEST.match(digest):
        return True
    if len(digest) == 64:
        return files.sha256(path) == digest
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == digest


def _discard(path: Path) -> None:
    """Remove a file of a snapshot and the blob it points to."""
    if path.is_symlink():
        path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
