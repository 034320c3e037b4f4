"""Subnormal numbers, which processors may calculate with a hundred times more slowly.

Networks trained with weight decay often hold thousands of weights that have decayed to below 1.2e-38, the
smallest normal float32, and products with activations are smaller still. No sum shows them, but Intel
processors take a trap of some 150 cycles for each: a recognition network of 1.2 million weights, 9,000 of
them subnormal, took 75 ms per face instead of 12, with outputs equal to the last bit.

Each thread of an x86 processor has a control register, MXCSR, with two bits that make subnormal operands
and results count as zero (Intel SDM vol. 1, §10.2.3). C's `fegetenv` and `fesetenv` reach it.
"""

import ctypes
import platform
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

_FLUSH_RESULTS: Final = 1 << 15
_OPERANDS_ARE_ZERO: Final = 1 << 6


class _Environment(ctypes.Structure):
    """`fenv_t` of glibc and musl on x86-64, with room to spare."""

    _fields_ = (("x87", ctypes.c_uint8 * 28), ("mxcsr", ctypes.c_uint32), ("spare", ctypes.c_uint8 * 32))


def _library() -> Any:
    """The C library, or None where its environment has another layout or need not be changed."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 1 << 32:
        return None
    try:
        # PyDLL keeps the interpreter's lock: the two calls take less time than giving it up.
        library = ctypes.PyDLL(None)
        for function in (library.fegetenv, library.fesetenv):
            function.argtypes, function.restype = (ctypes.POINTER(_Environment),), ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


_LIBRARY: Final = _library()

AVAILABLE: Final = _LIBRARY is not None
"""Whether `as_zero` changes anything on this machine."""


@contextmanager
def as_zero() -> Generator[None]:
    """Let the calling thread, and no other, take subnormal numbers as zero; about a microsecond.

    Restores the thread's floating-point environment at the end. Does nothing where `AVAILABLE` is False.
    """
    if _LIBRARY is None:
        yield
        return
    before = _Environment()
    _LIBRARY.fegetenv(before)
    within = _Environment.from_buffer_copy(before)
    within.mxcsr |= _FLUSH_RESULTS | _OPERANDS_ARE_ZERO
    _LIBRARY.fesetenv(within)
    try:
        yield
    finally:
        _LIBRARY.fesetenv(before)
