"""A published folder onto the Hub, in one commit, after every file of it has been checked."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub import card, files
from hub.folder import CARD, CHECK, CONFIG, FILES, RESULTS, WEIGHTS, inspect_folder
from hub.remote import WAITS, attempt, check_revision

RECIPE, EVAL_RESULTS = "recipe.json", ".eval_results"
MAX_SAMPLES_BYTES = 10_000_000
_ARCH = re.compile(r"[a-z][a-z0-9_]*\Z")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
_OURS = re.compile(r"\.eval_results/[\w.-]+\.yaml\Z")
_OPTIONAL = (RECIPE, *card.SAMPLES)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        files: path in the repository -> bytes.
        commit: the version that holds them; empty for a dry run.
        url: where to see it; empty for a dry run.
        changed: whether there was anything to send.
    """

    repo: str
    files: dict[str, int]
    commit: str = ""
    url: str = ""
    changed: bool = False


def push(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
    message: str = "",
    token: str | None = None,
) -> Pushed:
    """Put a published folder on the Hub as the model repository `repo`.

    The card gets the scores of results.json and the repository's name; the scores also go into `.eval_results/`, and
    the recipe into recipe.json. All files appear in one commit. A push that was cut off is run again: what has arrived
    is not sent twice, and a folder that is there already makes no commit.

    Args:
        repo: ORG/NAME; created if it does not exist.
        private: for a repository that is created.
        revision: branch to commit to; created if it does not exist.
        create_pr: propose the files instead of committing them.
        dry_run: check everything and send nothing.
        token: instead of the one that `hf auth login` stored.

    Raises:
        ValueError: the folder is not fit for publishing, or the Hub refuses it; nothing has been sent.
        FileNotFoundError: a file is missing.
        LookupError, PermissionError, ConnectionError: see `hub.remote.attempt`; no half version is left behind.
    """
    if not _REPO.match(repo):
        raise ValueError(f"{repo!r}: expected ORG/NAME, such as me/spm_refine_64.synthface")
    check_revision(revision)
    validate(folder)
    with tempfile.TemporaryDirectory(prefix="geotrans-push-") as staged:
        contents = _contents(Path(folder), repo, Path(staged))
        sizes = {name: path.stat().st_size for name, path in contents.items()}
        if dry_run:
            return Pushed(repo, sizes)
        upload = _Upload(repo, contents, private, revision, create_pr, message or "Publish with geotrans", token)
        commit, url, changed = upload.run()
        return Pushed(repo, sizes, commit, url, changed)


def push_to_dataset(
    repo: str, path: str, content: bytes, *, private: bool = False, create_pr: bool = False, message: str = ""
) -> str:
    """Put one file into a dataset repository, which is created if it does not exist; returns the commit's address.

    Raises:
        ValueError: `repo` is not ORG/NAME.
        LookupError, PermissionError, ConnectionError: see `hub.remote.attempt`.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not _REPO.match(repo):
        raise ValueError(f"{repo!r}: expected ORG/NAME, such as me/leaderboard")
    api = HfApi()

    def commit() -> Any:
        add = CommitOperationAdd(path, content)
        text = message or f"Add {path}"
        return api.create_commit(repo, [add], commit_message=text, repo_type="dataset", create_pr=create_pr)

    attempt(repo, lambda: api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True))
    done = attempt(repo, commit, waits=() if create_pr else WAITS)
    return str(done.pr_url or done.commit_url)


def validate(folder: str | Path) -> dict[str, Any]:
    """Check that a folder is fit for publishing; returns its config.json.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        ValueError: another file is in it, or one of its files is broken or too large.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected a published folder with {', '.join(FILES)}")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ValueError(f"{path}: a symbolic link; a published folder holds files only, copy it in")
        if name not in (*FILES, *_OPTIONAL, EVAL_RESULTS) and not _OURS.match(name):
            raise ValueError(f"{path}: not a file of a published folder; move it elsewhere")
        if name in card.SAMPLES and path.stat().st_size > MAX_SAMPLES_BYTES:
            raise ValueError(f"{path}: {path.stat().st_size} bytes; expected at most {MAX_SAMPLES_BYTES}")
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise FileNotFoundError(f"{folder}: not a whole published folder, {' and '.join(missing)} missing")
    config, shapes = inspect_folder(folder)
    if not shapes:
        raise ValueError(f"{folder / WEIGHTS}: holds no tensors")
    if not _ARCH.match(config["arch"]):
        raise ValueError(f"{folder / CONFIG}: {config['arch']!r} is no name of an architecture")
    if not files.tensor_shapes(folder / CHECK)[0]:
        raise ValueError(f"{folder / CHECK}: holds no recorded call; write the folder again with save_folder")
    if not isinstance(files.read_json(folder / RESULTS), dict):
        raise ValueError(f"{folder / RESULTS}: expected an object")
    return config


def _contents(folder: Path, repo: str, staged: Path) -> dict[str, Path]:
    """Path in the repository -> file to send. What differs from the folder is written to `staged`."""
    results = files.read_json(folder / RESULTS)
    contents = {name: folder / name for name in (*FILES, *_OPTIONAL) if (folder / name).is_file()}
    picture = next((name for name in card.SAMPLES if name in contents), "")
    text = files.read_text(folder / CARD)
    made = {CARD: card.update(text, repo.partition("/")[2], results, use=f"hf-hub:{repo}", picture=picture)}
    made |= card.eval_results(results)
    for name, content in made.items():
        files.write_text(staged / name, content)
        contents[name] = staged / name
    recipe = results.get("training", {}).get("recipe") if isinstance(results.get("training"), dict) else None
    if recipe and RECIPE not in contents:
        files.write_json(staged / RECIPE, recipe)
        contents[RECIPE] = staged / RECIPE
    return contents


@dataclass(frozen=True, slots=True)
class _Upload:
    repo: str
    contents: dict[str, Path]
    private: bool
    revision: str | None
    create_pr: bool
    message: str
    token: str | None

    def run(self) -> tuple[str, str, bool]:
        """Commit; returns the commit, its address, and whether anything was sent."""
        from huggingface_hub import HfApi

        api = HfApi(token=self.token)
        attempt(self.repo, lambda: api.create_repo(self.repo, private=self.private, exist_ok=True))
        if self.revision and not self.create_pr:
            branch = self.revision
            attempt(self.repo, lambda: api.create_branch(self.repo, branch=branch, exist_ok=True))
        before = self._head(api)
        # a proposal whose answer is lost would be made twice
        done: Any = attempt(self.repo, lambda: self._commit(api), waits=() if self.create_pr else WAITS)
        return str(done.oid), str(done.pr_url or done.commit_url), done.oid != before

    def _head(self, api: Any) -> str:
        base = None if self.create_pr else self.revision
        info = attempt(self.repo, lambda: api.model_info(self.repo, revision=base))
        return str(info.sha or "")

    def _commit(self, api: Any) -> Any:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        base = None if self.create_pr else self.revision
        there = set(api.list_repo_files(self.repo, revision=base))
        known = {name for name in there if name in (*FILES, *_OPTIONAL) or _OURS.match(name)}
        return api.create_commit(
            self.repo,
            [
                *(CommitOperationAdd(name, path) for name, path in self.contents.items()),
                *(CommitOperationDelete(name) for name in sorted(known - set(self.contents))),
            ],
            commit_message=self.message,
            revision=base,
            create_pr=self.create_pr,
        )
