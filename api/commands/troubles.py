"""What a person is told when a command fails: one line that says what to do, and never a traceback.

``LIVETILL_DEBUG=1`` shows the traceback as well, for whoever mends livetill.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType

import rich_click as click

DEBUG = "LIVETILL_DEBUG"


SPEAKING = {
    "api.auth": ("UnknownRoleError", "WeakSecretError"),
    "api.commands.troubles": ("CommandError",),
    "api.compose": ("TROUBLES",),
    "api.demo.errors": ("DemoError",),
    "api.secrets": ("SecretsError",),
    "projections.applying": ("GapError",),
    "projections.catalogue": ("UnknownProjectionError",),
}
"""By module: errors, or tuples of them, whose message is one line for people."""


class CommandError(Exception):
    """A command cannot do what it was asked; one line that says why and what to do."""


def tell(error: BaseException) -> None:
    """Say on standard error what went wrong."""
    if os.environ.get(DEBUG):
        click.echo("".join(traceback.format_exception(error)), err=True)
    click.echo(f"livetill: {explained(error)}", err=True)


def explained(error: BaseException) -> str:
    """Return one line about an error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    if isinstance(error, _speaking()):
        return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, OSError):
        return _of_the_system(error)
    if type(error).__module__ == "sqlite3":
        return f"what is put aside meanwhile has no room ({error}): free some space, or choose another disk with TMPDIR"
    said = " ".join(str(error).split())
    return f"this should not have happened ({type(error).__name__}: {said}): set {DEBUG}=1 to see where"


def _of_the_system(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"the disk is full{place}: free some space and start again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"no permission{place}: run livetill as its owner or choose another place"
        case errno.EMFILE | errno.ENFILE:
            return "too many open files: raise the limit (ulimit -n) and start again"
        case _:
            return f"{error.strerror or error}{place}: check that the place exists and can be used"


def _speaking() -> tuple[type[Exception], ...]:
    """Return the errors whose message is meant for people. Of modules that nobody imported, none was raised."""
    groups = (_errors_of(sys.modules[module], names) for module, names in SPEAKING.items() if module in sys.modules)
    return tuple(error for group in groups for error in group)


def _errors_of(module: ModuleType, names: tuple[str, ...]) -> Iterator[type[Exception]]:
    for name in names:
        found = getattr(module, name)
        yield from found if isinstance(found, tuple) else (found,)
