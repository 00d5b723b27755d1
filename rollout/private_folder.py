"""A folder for what must not stay on disk, such as the questions of a suite that is not to be republished."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_PREFIX, _UNLOCKED = "toolpath-private-", "toolpath-empty-"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user may enter, and that is removed at the end.

    One whose process was killed is removed by the next call on the machine: the kernel drops the lock on it with the process.
    """
    _remove_orphans()
    made = Path(tempfile.mkdtemp(prefix=_UNLOCKED))
    with ExitStack() as stack:
        _locked(made, stack)
        folder = made.rename(made.with_name(made.name.replace(_UNLOCKED, _PREFIX)))
        stack.callback(shutil.rmtree, folder)
        yield folder


def _remove_orphans() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), ExitStack() as stack:  # in use, somebody else's, or just removed
            _locked(folder, stack)
            shutil.rmtree(folder)


def _locked(folder: Path, stack: ExitStack) -> None:
    """Hold it as long as the stack lives. Raises OSError where somebody else does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
