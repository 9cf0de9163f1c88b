"""A table of names: what is registered, where it was written, and what to say when a name is unknown."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
I = TypeVar("I")  # noqa: E741

PLUGIN_GROUP = "geotrans.plugins"


class UnknownNameError(LookupError):
    """A name that no entry has; the message offers the closest ones."""


class DuplicateNameError(ValueError):
    """Two different factories claim one name; the message says where both are."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[I]):
    """One registered factory and the facts that stand beside it."""

    name: str
    factory: Callable[..., Any]
    info: I

    def origin(self) -> str:
        """`file:line` of the factory, for error messages and for readers."""
        code = inspect.unwrap(self.factory).__code__
        return f"{code.co_filename}:{code.co_firstlineno}"


class Registry(Generic[I]):
    """Names -> entries of one kind.

    Modules that register things are found by scanning packages (`add_source`) and entry points of the group
    `geotrans.plugins` at the first look-up, so a new entry needs no list to be edited.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[I]] = {}
        self._sources: list[str] = []
        self._scanned: set[str] = set()
        self._scanning = False

    def add_source(self, package: str) -> None:
        """Scan `package` (a dotted name, not imported now) at the next look-up."""
        if package not in self._scanned:
            self._scanned.add(package)
            self._sources.append(package)

    def register(self, factory: F, info: I) -> F:
        """Enter `factory` under its own `__name__`.

        Raises:
            DuplicateNameError: the name is taken by another factory.
        """
        entry = Entry(factory.__name__, factory, info)
        old = self._entries.get(entry.name)
        if old is not None and old.origin() != entry.origin():
            raise DuplicateNameError(
                f"two {self.kind}s are named {entry.name!r}: {old.origin()} and {entry.origin()}; rename one of them"
            )
        self._entries[entry.name] = entry
        return factory

    def get(self, name: str) -> Entry[I]:
        """The entry called `name`.

        Raises:
            UnknownNameError: nothing has that name; the message lists close matches.
        """
        self._scan()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(f"no {self.kind} is named {name!r}; {suggest(name, self._entries)}") from None

    def names(self, pattern: str | Iterable[str] = "*", exclude: str | Iterable[str] = ()) -> list[str]:
        """Sorted names that match any wildcard of `pattern` and none of `exclude`."""
        self._scan()
        return matching(self._entries, pattern, exclude)

    def origin(self, name: str) -> str:
        """`file:line` where `name` is defined."""
        return self.get(name).origin()

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        self._scan()
        return len(self._entries)

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Forget inside-registered names on exit: for tests and notebooks that try things out."""
        self._scan()
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def _scan(self) -> None:
        if self._scanning:  # a module that is being scanned looks a name up itself
            return
        self._scanning = True
        try:
            load_plugins()
            for source in self._sources:
                package = importlib.import_module(source)
                for module in pkgutil.iter_modules(package.__path__):
                    if not module.name.startswith("_"):
                        importlib.import_module(f"{package.__name__}.{module.name}")
            self._sources.clear()  # only now: a module that does not import must fail at every look-up
        finally:
            self._scanning = False


_loaded_plugins: set[str] = set()
_plugins_done = False


def load_plugins(*, again: bool = False) -> None:
    """Import every module that an installed distribution names under the entry point group `geotrans.plugins`.

    Args:
        again: look for newly installed plugins, once all have been loaded before.

    Raises:
        ImportError: a plugin cannot be imported; the message names its distribution.
    """
    global _plugins_done
    if _plugins_done and not again:  # reading the entry points takes milliseconds, and look-ups are many
        return
    for point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        if point.value in _loaded_plugins:
            continue
        _loaded_plugins.add(point.value)  # before the import: a plugin may look names up itself
        try:
            point.load()
        except Exception as error:
            _loaded_plugins.discard(point.value)
            raise ImportError(
                f"the geotrans plugin {point.value!r} ({point.name}) does not import: {error}; fix or uninstall it"
            ) from error
    _plugins_done = True


def suggest(name: str, known: Iterable[str]) -> str:
    """The tail of an unknown-name message: close matches, or else what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    if not known:
        return "there are none"
    more = "" if len(known) <= 20 else f" and {len(known) - 20} more"
    return "there are: " + ", ".join(known[:20]) + more


def matching(names: Iterable[str], pattern: str | Iterable[str], exclude: str | Iterable[str] = ()) -> list[str]:
    """Sorted names that match any wildcard of `pattern` and none of `exclude`."""
    wanted, unwanted = _patterns(pattern), _patterns(exclude)
    return sorted(
        name
        for name in names
        if any(fnmatch.fnmatchcase(name, p) for p in wanted) and not any(fnmatch.fnmatchcase(name, p) for p in unwanted)
    )


def _patterns(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
