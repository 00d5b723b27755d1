"""What a call may read, and where it may write."""

import sys
import sysconfig
from pathlib import Path

BOX = "/box"
"""Where a call may write, in the tier that has such a place."""

PACKAGE = Path(__file__).parents[1]
"""What a zygote is made of: it is loaded before any call, and calls have no business with it."""

_LIBRARY_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")


def library_paths() -> list[Path]:
    """The standard library and the installed packages of this interpreter."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = (Path(sysconfig.get_paths()[name]) for name in names)
    return [path for path in dict.fromkeys(paths) if path.exists()]


def readable_paths() -> list[Path]:
    """All that a call may read: Python's libraries, shared libraries, time zones."""
    shared = [Path(name) for name in (*_LIBRARY_DIRECTORIES, f"{sys.base_prefix}/lib")]
    return [*library_paths(), *shared, Path("/etc/ld.so.cache"), Path("/usr/share/zoneinfo")]
