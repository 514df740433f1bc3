"""The process's memory as its allocators keep it: the C library's, and Python's.

Python's returns a megabyte to the system only when nothing is left in it, so a small object that
stays keeps a megabyte that a burst of calls has filled. With `PYTHONMALLOC=malloc` the C library
has all, and returns it page by page, for a little of the speed (ADR 28).
"""

import asyncio
import ctypes
import gc
import sys
from typing import Any

M_ARENA_MAX = -8
"""A parameter of glibc's mallopt()."""


def keep_one_arena() -> None:
    """Let all threads share one arena of the C library's, where each would keep its own.

    gRPC has a dozen threads, and what one of them frees, no other can use. A thread that has an
    arena already keeps it: this comes before any is started.
    """
    option = getattr(_c_library(), "mallopt", None)
    if option is not None:
        option(M_ARENA_MAX, 1)


def give_back() -> None:
    """Collect garbage and return free memory to the system; takes some tens of milliseconds."""
    gc.collect()
    _forget_looked_up_names()
    _shrink_table_of_tasks()
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _forget_looked_up_names() -> None:
    """Empty the cache of attributes by their names, which keeps up to 4,096 strings alive.

    C code asks for many attributes by a string made for the question, 3.11's `match` too: a burst
    leaves a thousand of those, each in another megabyte.
    """
    forget = getattr(sys, "_clear_type_cache", None)
    if forget is not None:
        forget()


def _shrink_table_of_tasks() -> None:
    """Make asyncio's table of tasks as small as what is in it.

    A set does not shrink when much is taken from it; 10,000 streams leave one of 2 MB.
    """
    table = getattr(getattr(asyncio.tasks, "_all_tasks", None), "data", None)
    if isinstance(table, set):
        table.intersection_update(table.copy())


def _c_library() -> Any:
    return ctypes.CDLL(None)
