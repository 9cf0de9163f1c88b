"""Calls to the Hub: what is tried again, and what a failure is called when it is not."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

WAITS = (0.5, 2.0)  # seconds before the second and the third attempt; the client has retries of its own below these
TIMEOUT = 10.0  # seconds without an answer until a question counts as failed
SENT_TIMEOUT = 15.0  # the same for what changes a repository, which the Hub may have to think about
PATIENCE = 20.0  # seconds without an answer after which nothing is tried again
_PARTS = ("connect", "read", "write", "pool")  # of a time-out, as the HTTP library names them
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*\Z")


class BrokenTransferError(OSError):
    """A file arrived with other bytes than the repository states; it is not kept."""


class NoAnswerError(OSError):
    """A request got no answer in time, and the client would send it again."""


def attempt(what: str, call: Callable[[], T], *, waits: tuple[float, ...] = WAITS) -> T:
    """Run a call to the Hub, again after failures that may pass, and name the one that does not.

    Args:
        what: the repository, or a file of it, as the message names it.

    Raises:
        LookupError: there is no such repository, revision or file, or no right to see it.
        PermissionError: the Hub refuses the token.
        ConnectionError: the Hub does not answer, or keeps failing.
        ValueError: the Hub refuses what was sent.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    transport_errors: type[Exception] = _http_library().TransportError
    start = time.monotonic()
    for wait in (*waits, None):
        try:
            with _bounded():
                return call()
        except OfflineModeIsEnabled as error:
            raise ConnectionError(f"{what}: HF_HUB_OFFLINE is set, so the Hub is not asked") from error
        except (
            *(HfHubHTTPError, LocalEntryNotFoundError, transport_errors, OSError, RuntimeError),
            json.JSONDecodeError,  # an answer that is not the Hub's
        ) as error:
            final = _final(what, error)
            if final is not None:
                raise final from error
            answers = (HfHubHTTPError, BrokenTransferError, json.JSONDecodeError)
            silent = not any(isinstance(cause, answers) for cause in _causes(error))
            if wait is None or (silent and time.monotonic() - start > PATIENCE):
                raise ConnectionError(f"{what}: the Hub keeps failing ({_reason(error)}); try again later") from error
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """While this is open, no request of the Hub client waits for ever.

    Left alone, the client sets no limit for some requests, and sends others again for minutes. A request that states no
    limit gets one; one that was not answered for `TIMEOUT` seconds is not sent again from below, but by `attempt`. The
    client is shared, so for this while the same holds for what other threads ask of it.
    """
    from huggingface_hub import get_session

    hooks = get_session().event_hooks
    sent: dict[tuple[int, str, str], float] = {}

    def key(request: Any) -> tuple[int, str, str]:
        return threading.get_ident(), request.method, str(request.url)

    def before(request: Any) -> None:
        limit = TIMEOUT if request.method in ("GET", "HEAD") else SENT_TIMEOUT
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {part: limits.get(part) or limit for part in _PARTS}
        if time.monotonic() - sent.setdefault(key(request), time.monotonic()) > TIMEOUT:
            raise NoAnswerError(f"no answer to {request.method} {request.url.path}")

    def after(response: Any) -> None:
        sent.pop(key(response.request), None)

    hooks["request"].append(before)
    hooks["response"].append(after)
    try:
        yield
    finally:
        hooks["request"].remove(before)
        hooks["response"].remove(after)


def _http_library() -> Any:
    """The library that the installed Hub client speaks through: httpx before its version 2, httpx2 since."""
    from huggingface_hub import utils

    return getattr(utils, "httpx", None) or importlib.import_module("httpx")


def check_revision(revision: str | None) -> None:
    """Refuse what cannot be a branch, a tag or a commit, before it becomes part of a path.

    Raises:
        ValueError: the text has other characters, or climbs with `..`.
    """
    if revision is not None and (not _REVISION.match(revision) or ".." in revision):
        raise ValueError(f"{revision!r} is no revision; expected a branch, a tag or a commit hash")


def _final(what: str, error: Exception) -> Exception | None:
    """What to raise for a failure that another attempt would meet again; None for one that may pass."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return PermissionError(f"{what}: access is gated; ask for it on the repository's page")
    if isinstance(error, RepositoryNotFoundError):
        return LookupError(f"{what}: no such repository on the Hub, or no right to read it (`hf auth login`)")
    if isinstance(error, RevisionNotFoundError):
        return LookupError(f"{what}: the repository has no such revision")
    if isinstance(error, LocalEntryNotFoundError):
        return None
    if isinstance(error, EntryNotFoundError):
        return LookupError(f"{what}: the repository has no such file")
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 500
        if status in (401, 403):
            return PermissionError(f"{what}: the Hub refuses ({status}); log in with `hf auth login` or set HF_TOKEN")
        if status < 500 and status not in (408, 409, 412, 429):
            return ValueError(f"{what}: the Hub refuses what was sent ({_reason(error)})")
        return None
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return error
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _reason(error: BaseException) -> str:
    *_, error = _causes(error)
    text = " ".join(str(error).split()).partition(" For more information")[0] or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
