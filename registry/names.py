"""The grammar of model names: `arch`, `arch.tag`, `local-dir:PATH` and `hf-hub:ORG/NAME[@REVISION]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ARCH = re.compile(r"[a-z][a-z0-9_]*\Z")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A parsed name. Either `arch` (with or without `tag`), or `folder`, or `repo` (with or without `revision`)."""

    arch: str = ""
    tag: str | None = None
    folder: str | None = None
    repo: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        if self.folder is not None:
            return f"local-dir:{self.folder}"
        if self.repo is not None:
            return f"hf-hub:{self.repo}" + (f"@{self.revision}" if self.revision else "")
        return self.arch + (f".{self.tag}" if self.tag else "")


def parse_model_name(name: str) -> ModelName:
    """Take a model name apart.

    Raises:
        ValueError: the text is none of the four forms; the message shows how to write what was probably meant.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme == "local-dir":
        if not rest:
            raise ValueError("local-dir: needs a path after the colon, such as local-dir:runs/spm/published")
        return ModelName(folder=rest)
    if colon and scheme in ("hf-hub", "hf_hub"):
        repo, _, revision = rest.partition("@")
        if not _REPO.match(repo):
            raise ValueError(f"hf-hub: needs ORG/NAME, got {rest!r}; write hf-hub:ORG/NAME or hf-hub:ORG/NAME@REVISION")
        return ModelName(repo=repo, revision=revision or None)
    if "/" in name or "\\" in name:
        raise ValueError(
            f"{name!r} is not a model name; write hf-hub:{name} for a Hub repository or local-dir:{name} for a folder"
        )
    arch, _, tag = name.partition(".")
    if not _ARCH.match(arch) or ("." in name and not _TAG.match(tag)):
        raise ValueError(
            f"{name!r} is not a model name; expected arch or arch.tag in lower snake case, like spm_refine_64.synthface"
        )
    return ModelName(arch=arch, tag=tag or None)
