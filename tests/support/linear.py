"""Whether a history of calls that overlapped can have happened one after another (Wing and Gong's search)."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Done:
    """A call: when it began and was answered, what it was, and what it answered."""

    began: float
    ended: float
    call: Any
    answer: Any


Model = Callable[[Any, Any], tuple[Hashable, Any]]
"""From a state and a call to the state after it and the answer."""


def order(history: Sequence[Done], start: Hashable, model: Model) -> list[Done] | None:
    """An order that explains the history, `None` without one.

    >>> def add(state, call): return state + call, state + call
    >>> one, two = Done(0, 2, 1, 1), Done(1, 3, 1, 2)
    >>> order([two, one], 0, add) == [one, two]
    True
    >>> order([one, Done(1, 3, 1, 1)], 0, add) is None
    True
    >>> order([Done(0, 1, 1, 2), Done(2, 3, 1, 1)], 0, add) is None
    True
    """
    calls = sorted(history, key=lambda done: done.began)
    everything = (1 << len(calls)) - 1
    dead: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, Hashable, list[int]]] = [(everything, start, _first(calls, everything))]
    path: list[int] = []
    while stack:
        left, state, candidates = stack[-1]
        if not left:
            return [calls[at] for at in path]
        if not candidates:
            dead.add((left, state))
            stack.pop()
            if path:
                path.pop()
            continue
        at = candidates.pop()
        after, answer = model(state, calls[at].call)
        rest = left & ~(1 << at)
        if answer != calls[at].answer or (rest, after) in dead:
            continue
        path.append(at)
        stack.append((rest, after, _first(calls, rest)))
    return None


def _first(calls: Sequence[Done], left: int) -> list[int]:
    """The calls that may be the next one: they began before any other was answered."""
    found: list[int] = []
    ended = float("inf")
    for at, done in enumerate(calls):
        if left >> at & 1:
            if done.began > ended:
                break
            found.append(at)
            ended = min(ended, done.ended)
    return found
