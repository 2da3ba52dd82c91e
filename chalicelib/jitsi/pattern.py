"""Room names as patterns: a small, anchored, linear-time subset of regular expressions.

Literals, `.`, classes like `[a-z0-9_-]` and `[^x]`, the escapes `\\d \\w` and escaped
punctuation, each with `*`, `+` or `?`.  No groups, alternatives, counts or references: whoever
signs a token must not be able to stall the service.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from chalicelib.errors import ValidationError

LONGEST: Final = 256
SPECIAL: Final = frozenset("(){}|^$*+?[]\\.")

Matcher = Callable[[str], bool]


class Atom(NamedTuple):
    """One position of a pattern."""

    accepts: Matcher
    optional: bool
    repeats: bool


class BadPattern(ValidationError):
    """The pattern is outside the subset."""


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches, ignoring case; time grows with the product of the lengths.

    Raises `BadPattern`.
    """
    atoms = parse(pattern.lower())
    states = _closed({0}, atoms)
    for char in text.lower():
        following = set()
        for state in states:
            if state < len(atoms) and atoms[state].accepts(char):
                following.add(state + 1)
                if atoms[state].repeats:
                    following.add(state)
        states = _closed(following, atoms)
        if not states:
            return False
    return len(atoms) in states


def _closed(states: set[int], atoms: list[Atom]) -> set[int]:
    """With every state that is reached by skipping optional atoms."""
    found = set()
    for state in states:
        found.add(state)
        while state < len(atoms) and atoms[state].optional:
            state += 1
            found.add(state)
    return found


def parse(pattern: str) -> list[Atom]:
    """The atoms of a pattern.  Raises `BadPattern`."""
    if len(pattern) > LONGEST:
        raise BadPattern("the room pattern is too long")
    text = (
        pattern.removeprefix("^").removesuffix("$")
        if not pattern.endswith("\\$")
        else pattern.removeprefix("^")
    )
    atoms: list[Atom] = []
    at = 0
    while at < len(text):
        accepts, at = _matcher(text, at)
        quantifier = text[at] if at < len(text) and text[at] in "*+?" else ""
        at += len(quantifier)
        optional = quantifier in ("*", "?") and quantifier != ""
        repeats = quantifier in ("*", "+") and quantifier != ""
        if repeats and not optional:
            atoms.append(Atom(accepts, False, False))
            atoms.append(Atom(accepts, True, True))
        else:
            atoms.append(Atom(accepts, optional, repeats))
    return atoms


def _matcher(text: str, at: int) -> tuple[Matcher, int]:
    char = text[at]
    if char == ".":
        return (lambda _: True), at + 1
    if char == "\\":
        if at + 1 == len(text):
            raise BadPattern("the room pattern ends in a backslash")
        return _escaped(text[at + 1]), at + 2
    if char == "[":
        return _class(text, at + 1)
    if char in SPECIAL:
        raise BadPattern("the room pattern uses more than the supported subset")
    return (lambda given: given == char), at + 1


def _escaped(char: str) -> Matcher:
    if char == "d":
        return lambda given: given.isascii() and given.isdigit()
    if char == "w":
        return lambda given: given == "_" or (given.isascii() and given.isalnum())
    if char.isalnum():
        raise BadPattern("the room pattern uses more than the supported subset")
    return lambda given: given == char


def _class(text: str, at: int) -> tuple[Matcher, int]:
    end = text.find("]", at + 1)
    if end < 0:
        raise BadPattern("the room pattern has an open class")
    content = text[at:end]
    negated = content.startswith("^")
    content = content[1:] if negated else content
    if not content or "[" in content or "\\" in content:
        raise BadPattern("the room pattern uses more than the supported subset")
    singles, ranges, i = set(), [], 0
    while i < len(content):
        if i + 2 < len(content) and content[i + 1] == "-":
            ranges.append((content[i], content[i + 2]))
            i += 3
        else:
            singles.add(content[i])
            i += 1
    return (
        lambda given: (given in singles or any(low <= given <= high for low, high in ranges)) != negated
    ), end + 1
