"""Several storage calls side by side, on one bounded pool of threads."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

THREADS = 16

_inside = threading.local()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="storage")


def each(function: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """`function` of each item, in order and each in the caller's context.

    The first error is raised after all have ended.
    """
    wanted = list(items)
    if len(wanted) < 2 or getattr(_inside, "pool", False):
        return [function(item) for item in wanted]

    def inside(item: A) -> B:
        _inside.pool = True
        try:
            return function(item)
        finally:
            _inside.pool = False

    futures = [_pool().submit(copy_context().run, inside, item) for item in wanted]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
