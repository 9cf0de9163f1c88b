"""From a model name to a folder on this machine."""

from __future__ import annotations

from pathlib import Path

from hub.folder import FILES, bundled_folders
from registry import ModelName


def resolve(name: ModelName) -> Path:
    """The published folder behind a name: a local one as it stands, a Hub one from the cache or downloaded into it.

    Raises:
        LookupError: the architecture has no weights of that tag; the message lists the tags.
        FileNotFoundError: the Hub repository cannot be reached and is not in the cache.
    """
    if name.folder is not None:
        if not Path(name.folder).is_dir():
            raise FileNotFoundError(f"{name}: no such folder; expected one with {', '.join(FILES)}")
        return Path(name.folder)
    if name.repo is not None:
        return _from_hub(name.repo, name.revision)
    tags = {
        key.partition(".")[2]: folder for key, folder in bundled_folders().items() if key.split(".")[0] == name.arch
    }
    if not tags:
        raise LookupError(f"{name.arch} has no weights; build it untrained, or give local-dir:PATH or hf-hub:ORG/NAME")
    if name.tag is None:
        return next(iter(tags.values()))
    if name.tag not in tags:
        raise LookupError(f"{name.arch} has no weights tagged {name.tag!r}; it has: {', '.join(tags)}")
    return tags[name.tag]


def _from_hub(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(FILES)))
    except RepositoryNotFoundError as error:
        raise LookupError(f"hf-hub:{repo}: no such repository on the Hub, or no right to read it") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            f"hf-hub:{repo} is not in the local cache and the Hub does not answer; connect once, or put "
            f"{', '.join(FILES)} into a folder and name it local-dir:PATH"
        ) from error
