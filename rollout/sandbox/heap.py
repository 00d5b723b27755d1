"""Arranges memory for forks, which copy the table of all pages, and then each page that either side writes to."""

import ctypes

_HUGE_BYTES = 2**21
_COLLAPSE = 25
"""madvise's MADV_COLLAPSE (kernel >= 6.1): move what is there into huge pages, now."""
_SIZES = (65_536, 16_384, 4096, 2048, *range(1016, 23, -16))
"""Of what is allocated to fill gaps, in bytes."""


class _Usage(ctypes.Structure):
    """The C library's struct mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


def fill_gaps() -> None:
    """Allocate, for good, until each size comes from above what was ever used: what a child allocates then lies together.

    Nothing but speed depends on this and on `collapse`; nothing happens where the C library is not glibc.
    """
    if libc := _glibc():
        top = libc.sbrk(0) - libc.mallinfo2().keepcost
        for size in _SIZES:
            while libc.malloc(ctypes.c_size_t(size)) < top:
                pass


def collapse() -> None:
    """Lay the heap out in huge pages, whose table is short; nothing happens where the kernel knows none.

    One that this process writes to while a fork shares it is split for good, so what it does after each fork goes first.
    """
    if libc := _glibc():
        end = libc.sbrk(0)
        begin = -(-(end - libc.mallinfo2().arena) // _HUGE_BYTES) * _HUGE_BYTES
        libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end // _HUGE_BYTES * _HUGE_BYTES - begin), _COLLAPSE)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return None
    libc.mallinfo2.restype = _Usage
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    return libc
