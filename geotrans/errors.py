"""What a command prints instead of a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

USER_ERRORS = (ValueError, TypeError, LookupError, OSError, ImportError)


@contextlib.contextmanager
def user_errors(command: str) -> Iterator[None]:
    """Turn a user's mistake inside the block into one line on stderr and exit code 2.

    Programming errors (AttributeError, AssertionError, ...) keep their traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{command}: stopped\n")
        raise SystemExit(130) from None
    except USER_ERRORS as error:
        text = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
        text = "".join(c if c.isprintable() else "?" for c in text)  # names in a stranger's file are printed too
        sys.stderr.write(f"{command}: {text}\n")
        raise SystemExit(2) from None
