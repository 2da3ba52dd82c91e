"""Matches REST requests against the Chalice app's own route table, as API Gateway's resource tree would."""

from collections.abc import Iterable
from typing import Final, NamedTuple

NOT_FOUND: Final = b'{"code":404,"errno":999,"error":{"code":1001,"message":"Resource not found"}}'
"""One body that every error family can read; the deployed stack answers it through its gateway responses."""


class Match(NamedTuple):
    """A resource, and the values of its parameters as they stand in the path."""

    resource: str
    parameters: dict[str, str] | None


class _Node:
    __slots__ = ("children", "name", "parameter", "resource", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""
        self.resource: str | None = None
        self.rest: tuple[str, str] | None = None
        """Name and resource of a parameter that takes all that is left of a path, like `{proxy+}`."""


class Router:
    """A tree of path segments; a literal segment goes before a parameter, and that before a greedy one."""

    def __init__(self, resources: Iterable[str]) -> None:
        self._root = _Node()
        self._plain: dict[str, Match] = {}
        for resource in resources:
            if "{" not in resource:
                self._plain[resource] = Match(resource, None)
            self._add(resource)

    def _add(self, resource: str) -> None:
        node = self._root
        for segment in resource.strip("/").split("/") if resource != "/" else ():
            if segment.startswith("{") and segment.endswith("+}"):
                node.rest = (segment[1:-2], resource)
                return
            if segment.startswith("{") and segment.endswith("}"):
                if node.parameter is None:
                    node.parameter = _Node()
                    node.parameter.name = segment[1:-1]
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        node.resource = resource

    def match(self, path: str) -> Match | None:
        """The resource of `path`; a slash at the end counts for nothing."""
        if len(path) > 1 and path[-1] == "/" != path[-2]:
            path = path[:-1]
        plain = self._plain.get(path)
        if plain is not None:
            return plain
        if not path.startswith("/") or path == "/":
            return None
        values: list[tuple[str, str]] = []
        resource = self._find(self._root, path[1:].split("/"), 0, values)
        return Match(resource, dict(values) or None) if resource is not None else None

    def _find(self, node: _Node, segments: list[str], at: int, values: list[tuple[str, str]]) -> str | None:
        if at == len(segments):
            return node.resource
        segment = segments[at]
        child = node.children.get(segment)
        if child is not None:
            found = self._find(child, segments, at + 1, values)
            if found is not None:
                return found
        if node.parameter is not None and segment:
            values.append((node.parameter.name, segment))
            found = self._find(node.parameter, segments, at + 1, values)
            if found is not None:
                return found
            values.pop()
        if node.rest is not None and segment:
            name, resource = node.rest
            values.append((name, "/".join(segments[at:])))
            return resource
        return None
