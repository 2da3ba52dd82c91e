"""Dialogues of asyncapi.yaml, held with a gateway: clients say what stands there, answers are compared."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml  # type: ignore[import-untyped,unused-ignore]

from infra.children import Gateway
from tests.support.clients import OFFERED, StompClient, http_call
from tests.support.fronts import Tokens

FILE: Final = Path(__file__).resolve().parents[2] / "asyncapi.yaml"
BEAT: Final = "\n"
PATIENCE_S: Final = 20.0
QUEUE: Final = "queue"
LISTENERS: Final = "signaling"
ADDRESSES: Final = {"queue": "/waiting-queue/visitor/websocket", "signaling": "/signaling", "stage": "/"}

_numbers: Final = itertools.count(1)


class Example(NamedTuple):
    """One example of a message."""

    message: str
    name: str
    command: str | None
    varies: frozenset[str]
    headers: Mapping[str, str]
    payload: Any


class Dialogue(NamedTuple):
    """One conversation of a channel."""

    channel: str
    name: str
    settings: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]


def document() -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def examples(whole: Mapping[str, Any]) -> dict[str, Example]:
    """Every example, by its message's name and its own."""
    return {
        f"{message}.{example['name']}": Example(
            message,
            example["name"],
            given.get("x-command"),
            frozenset(given.get("x-varies", ())),
            example.get("headers", {}),
            example.get("payload"),
        )
        for message, given in whole["components"]["messages"].items()
        for example in given["examples"]
    }


def dialogues(whole: Mapping[str, Any]) -> Iterator[Dialogue]:
    """Every dialogue of the file."""
    for channel, given in whole["channels"].items():
        for each in given["x-dialogues"]:
            yield Dialogue(channel, each["name"], each.get("settings", {}), each["steps"])


class Names:
    """What the names of a document are called in one run."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)

    def put(self, value: Any) -> Any:
        """A value with the names that this run has."""
        match value:
            case str():
                for name in sorted(self._known, key=len, reverse=True):
                    value = value.replace(name, self._known[name])
                return value
            case dict():
                return {name: self.put(each) for name, each in value.items()}
            case list():
                return [self.put(each) for each in value]
        return value

    def said(self, value: Any) -> None:
        """Have what a client said keep its name."""
        match value:
            case str():
                self._known.setdefault(value, self.put(value))
            case dict():
                for each in value.values():
                    self.said(each)

    def compare(self, wanted: Any, got: Any, varies: frozenset[str], place: str = "") -> None:
        """Fail where an answer is another one; what varies is learned where it stands first."""
        if isinstance(wanted, dict) and isinstance(got, dict):
            assert list(wanted) == list(got), place
            for name, each in wanted.items():
                if name in varies and isinstance(got[name], str):
                    actual = self._known.setdefault(each, got[name])
                    assert got[name] == actual, f"{place}.{name}"
                else:
                    self.compare(each, got[name], varies, f"{place}.{name}")
        elif isinstance(wanted, list) and isinstance(got, list):
            assert len(wanted) == len(got), place
            for at, (one, other) in enumerate(zip(wanted, got, strict=True)):
                self.compare(one, other, varies, f"{place}.{at}")
        else:
            assert self.put(wanted) == got, place


def spell(example: Example, names: Names) -> str:
    """An example as it goes over the wire."""
    payload = names.put(example.payload)
    names.said(example.payload)
    body = payload if isinstance(payload, str) else "" if payload is None else json.dumps(payload)
    if example.command is None:
        return body
    lines = [example.command, *(f"{name}:{value}" for name, value in names.put(example.headers).items())]
    return "\n".join(lines) + f"\n\n{body}\0"


def check(example: Example, text: str, names: Names) -> None:
    """Fail where what came is not the example."""
    if example.command is None:
        got = text if isinstance(example.payload, str) else json.loads(text)
        names.compare(example.payload, got, example.varies)
        return
    head, _, rest = text.partition("\n\n")
    command, *lines = head.split("\n")
    assert (command, rest[-1:]) == (example.command, "\0"), text
    names.compare(example.headers, dict(line.split(":", 1) for line in lines), example.varies, "headers")
    body = rest[:-1]
    if example.payload is None:
        assert body == "", text
    else:
        names.compare(
            example.payload,
            body if isinstance(example.payload, str) else json.loads(body),
            example.varies,
            "payload",
        )


class Held:
    """A dialogue under way: sockets by who has them, and what names are called here."""

    def __init__(self, gateway: Gateway, dialogue: Dialogue, tokens: Tokens) -> None:
        number = next(_numbers)
        self.gateway = gateway
        self.dialogue = dialogue
        self.sockets: dict[str, StompClient] = {}
        # Of the same length each, for a frame says how long its body is.
        self.names = Names(
            {
                "<visitor's token>": tokens.visitor(),
                "<moderator's token>": tokens.moderator(),
                "<server's token>": tokens.server(),
                "room1@": f"a{number:04}@",
                "room2@": f"b{number:04}@",
                "sora": f"s{number:03}",
            }
        )

    def run(self, known: Mapping[str, Example]) -> None:
        """Take every step."""
        try:
            for number, step in enumerate(self.dialogue.steps, 1):
                try:
                    self._take(step, known)
                except (AssertionError, TimeoutError) as why:
                    raise AssertionError(f"step {number}, {step}: {why!r}") from why
        finally:
            for socket in self.sockets.values():
                socket.close()

    def _take(self, step: Mapping[str, Any], known: Mapping[str, Example]) -> None:
        match step:
            case {"calls": line, "answers": status}:
                method, path = line.split(" ")
                body, headers = self.names.put(step["body"]), self.names.put(step["headers"])
                got = http_call(self.gateway.http, method, path, json.dumps(body), headers)
                assert got[0] == status, got
            case {"who": who, "sends": name}:
                self._socket(who).socket.send(spell(known[name], self.names))
            case {"who": who, "gets": name}:
                check(known[name], self._next(who, known[name].payload == BEAT), self.names)
            case {"who": who, "closed": code}:
                assert self.sockets[who].closed(PATIENCE_S) == code
            case _:
                raise AssertionError("there is no such step")

    def _next(self, who: str, beat: bool) -> str:
        if not beat:
            return self.sockets[who].receive(PATIENCE_S)
        got = self.sockets[who].socket.recv(timeout=PATIENCE_S)
        assert isinstance(got, str)
        return got

    def _socket(self, who: str) -> StompClient:
        if who not in self.sockets:
            path = ADDRESSES[self.dialogue.channel]
            offered = OFFERED if self.dialogue.channel == QUEUE else None
            self.sockets[who] = StompClient(self.gateway.ws, path, offered=offered)
        return self.sockets[who]
