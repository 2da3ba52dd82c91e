"""Makes docs/errors.md of the tables by which errors are spelled: `make errors`.

What can be raised is read from the source: every place that makes a fact of `chalicelib.errors`.  How a fact
is answered is asked of the very function that answers it.
"""

import ast
import functools
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import chalicelib
from chalicelib.admin import spelling as admin
from chalicelib.errors import AppError, Throttled, Unavailable
from chalicelib.jitsi import sockets as stomp
from chalicelib.jitsi import spelling as jitsi
from chalicelib.jitsi.pattern import BadPattern
from chalicelib.loop import spelling as loop
from chalicelib.owt import spelling as owt
from chalicelib.settings import BadSetting
from chalicelib.sora import settings as sora_settings
from chalicelib.sora import sockets as listening
from chalicelib.sora import spelling as sora
from chalicelib.sora.errors import EmptyBody, MetadataTooLarge, Target, UnknownTarget
from chalicelib.wcs import spelling as wcs
from chalicelib.wcs.errors import Unusable
from chalicelib.web import UNKNOWN_ROUTE, Unforeseen
from chalicelib.wire.basic import Undecodable
from chalicelib.wire.bearer import BadKey
from chalicelib.wire.reply import Reply

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "errors.md"
VARYING: Final = "…"
WIDTH: Final = 118
USUAL: Final = frozenset({"content-type", "cache-control", "x-content-type-options"})
"""Headers that say nothing of the error; those of CORS do not, either."""

Code = str
Said = tuple[Code, str, str]
"""What stands in the first columns of a row, and the text in which a sentence would stand."""

TARGET: Final = Target(VARYING, VARYING, VARYING)
SPECIAL: Final[Mapping[type[AppError], tuple[AppError, ...]]] = {
    EmptyBody: (EmptyBody(None), EmptyBody(TARGET)),
    UnknownTarget: (UnknownTarget(TARGET),),
    MetadataTooLarge: (MetadataTooLarge(sora_settings.SoraSettings().metadata_limit),),
}
"""What cannot be made of texts alone."""


class Part(NamedTuple):
    """One edge: how it spells, and which sources raise what reaches it.

    A source is a module or a package, perhaps with the functions that count.
    """

    title: str
    about: str
    header: tuple[str, ...]
    say: Callable[[AppError], Said]
    sources: tuple[str, ...]


class Raised(NamedTuple):
    """A fact that some place makes, and its text there, if it is known."""

    kind: type[AppError]
    text: str | None


def over_http(spell: Callable[[AppError], Reply]) -> Callable[[AppError], Said]:
    """What an edge answers over HTTP: status, body, other headers."""

    def say(error: AppError) -> Said:
        reply = spell(error)
        body = reply.body.decode() if isinstance(reply.body, bytes) else reply.body
        told = [
            f"`{name}: {value}`"
            for name, value in reply.headers.items()
            if name.lower() not in USUAL and not name.lower().startswith("access-control-")
        ]
        return str(reply.status), f"`{body}`" + "".join(f"<br>{header}" for header in told), body

    return say


def in_a_frame(error: AppError) -> Said:
    """The ERROR frame of the queue: its `message` header and the close code."""
    summary, sentence, code = stomp._spell(error)
    return f"`{summary}`", str(code), json.dumps(sentence, ensure_ascii=False)


def in_a_message(error: AppError) -> Said:
    """The last message to a client that wanted to listen, and the close code."""
    reason, code = listening._spell(error)
    text = json.dumps({"type": "error", "reason": reason}, ensure_ascii=False, separators=(",", ":"))
    return str(code), f"`{text}`", text


HTTP: Final = ("Status", "Body and headers")
PARTS: Final = (
    Part(
        "The waiting queue: `golive`",
        "[Contract](contracts/jitsi.md#post-golive).",
        HTTP,
        over_http(jitsi.spell),
        (
            *("jitsi.routes", "jitsi.golive", "jitsi.auth:authenticate_server", "jitsi.conference"),
            *("jitsi.messages:read_golive", "jitsi.principal:covers"),
            *("wire.bearer", "wire.untrusted", "keysets"),
        ),
    ),
    Part(
        "The waiting queue: `ERROR` frames",
        "The `message` header, the code with which a gateway closes the socket, and one sentence in the "
        "body. API Gateway closes with a code of its own. [Contract](contracts/jitsi.md#error).",
        ("`message`", "Close code"),
        in_a_frame,
        (
            *("jitsi.sockets", "jitsi.actions", "jitsi.messages:read_subscribe,read_unsubscribe"),
            *("jitsi.principal", "jitsi.auth:authenticate,_user,_server", "wire.bearer", "keysets"),
            *(
                "wire.stomp:negotiate,parse_heart_beat,unescape,decode_one,_end_of_body,_size",
                "wire.stomp_session",
            ),
        ),
    ),
    Part(
        "Conference management and the media plane",
        "Contracts: [management](contracts/owt.md#errors), [media plane](contracts/media-plane.md). A 500 "
        "with 1201 is no fault of the service: the log's line of the request has `decided`.",
        HTTP,
        over_http(owt.spell),
        ("owt", "media", "wire.mauth", "wire.patch", "wire.untrusted"),
    ),
    Part(
        "Rooms by invitation",
        "`errno` is what clients look at. Why Hawk was refused is said in `WWW-Authenticate`: "
        "[contract](contracts/loop.md#hawk), [errors](contracts/loop.md#errors).",
        HTTP,
        over_http(loop.spell),
        ("loop",),
    ),
    Part(
        "Metadata of connections",
        "[Contract](contracts/sora.md#errors).",
        HTTP,
        over_http(sora.spell),
        (
            *("sora.routes", "sora.auth", "sora.actions", "sora.messages", "sora.metadata", "sora.store"),
            "wire.untrusted",
        ),
    ),
    Part(
        "Metadata of connections: clients that only listen",
        "The last text before a gateway closes the socket with the code. "
        "[Contract](contracts/sora.md#clients-that-only-listen).",
        ("Close code", "Message"),
        in_a_message,
        ("sora.sockets", "sora.notices", "sora.auth:_prove", "wire.untrusted"),
    ),
    Part(
        "Hooks and streams of a WCS",
        "[Contract](contracts/wcs.md).",
        HTTP,
        over_http(wcs.spell),
        (
            *("wcs.routes", "wcs.auth", "wcs.actions", "wcs.messages", "wcs.store"),
            *("wire.basic", "wire.wcs_hash", "wire.untrusted"),
        ),
    ),
    Part(
        "The operators' API",
        "`code` is what programs look at. While `ADMIN_TOKENS` is empty, every path below `/admin/v1` is "
        "answered as one [that nobody serves](#the-fronts). [Contract](contracts/admin.md).",
        HTTP,
        over_http(admin.spell),
        ("admin", "wire.untrusted"),
    ),
)

FRONT: Final[Mapping[int, str]] = {
    400: "the request is no HTTP",
    408: "head or body came too slowly",
    413: "the body is longer than `GATEWAY_MAX_BODY_BYTES`",
    431: "the head is longer than `GATEWAY_MAX_HEADER_BYTES`",
    502: "the function failed, or gave no answer of an HTTP API",
    503: "too many requests or connections at once",
}
"""What a gateway refuses by itself; a test compares the statuses with its source."""
AWS: Final[Mapping[str, str]] = {
    "MISSING_AUTHENTICATION_TOKEN": "there is no such route",
    "THROTTLED": "over the account's or the stage's rate",
    "INTEGRATION_TIMEOUT": "the function took longer than 29 s",
    "DEFAULT_4XX": "anything else that is the caller's",
    "DEFAULT_5XX": "anything else",
}
"""What API Gateway refuses by itself, by the names that it has for it."""


@functools.cache
def modules(source: str) -> tuple[ModuleType, ...]:
    """The modules of a source."""
    whole = importlib.import_module(f"{chalicelib.__name__}.{source}")
    below = pkgutil.walk_packages(getattr(whole, "__path__", []), f"{whole.__name__}.")
    return (whole, *(importlib.import_module(each.name) for each in below))


def text_of(node: ast.expr, around: Mapping[str, Any]) -> list[str | None]:
    """The texts that an expression may be, with a mark where they vary; `None` where nothing is known."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(_piece(each, around) for each in parts)]
        case ast.IfExp(body=one, orelse=other):
            return [*text_of(one, around), *text_of(other, around)]
        case ast.Name(id=name) if isinstance(around.get(name), str):
            return [around[name]]
    return [None]


def _piece(node: ast.expr, around: Mapping[str, Any]) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id=name)) if isinstance(around.get(name), str | int):
            return str(around[name])
    return VARYING


def raised(module: ModuleType, functions: frozenset[str] = frozenset()) -> Iterator[Raised]:
    """Every fact that a module makes, in the functions and classes that are named, or anywhere."""
    tree = ast.parse(inspect.getsource(module))
    around = vars(module)
    wanted = [each for each in tree.body if not functions or getattr(each, "name", None) in functions]
    for node in (node for each in wanted for node in ast.walk(each)):
        made = node.exc if isinstance(node, ast.Raise) else node
        called = made.func if isinstance(made, ast.Call) else made
        if not isinstance(made, ast.Call) and not isinstance(node, ast.Raise):
            continue
        kind = _named(called, around)
        if kind is None:
            continue
        given = made.args if isinstance(made, ast.Call) else []
        texts = text_of(given[0], around) if given else [None]
        yield from (Raised(kind, text) for text in texts)


def _named(node: ast.AST | None, around: Mapping[str, Any]) -> type[AppError] | None:
    """The class of facts that an expression names."""
    match node:
        case ast.Name(id=name):
            found = around.get(name)
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            found = getattr(around.get(name), attribute, None)
        case _:
            return None
    return found if isinstance(found, type) and issubclass(found, AppError) else None


def instances(kind: type[AppError], text: str = VARYING) -> tuple[AppError, ...]:
    """Facts of a class, made of a text; several where they are answered differently."""
    if kind in SPECIAL:
        return SPECIAL[kind]
    wanted = [
        parameter
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ][1:]
    if kind.__init__ in (AppError.__init__, Exception.__init__):
        return (kind(text),)
    return (kind(*[text if at == 0 else VARYING for at, _ in enumerate(wanted)]),)


INNER: Final = frozenset({BadKey, BadPattern, BadSetting, Undecodable, Unusable})
"""Facts that whoever raises them has a caller for who takes them otherwise."""


def public(kind: type[AppError]) -> bool:
    """Whether callers may get to see a fact: those of rows are between us and our storage."""
    return ".store" not in kind.__module__ and kind not in INNER


def everything(part: Part) -> list[Raised]:
    """What an edge may have to answer; that storage fails, and what nobody foresaw, everywhere."""
    found = [Raised(Unavailable, None), Raised(Unforeseen, None)]
    for source in part.sources:
        name, _, functions = source.partition(":")
        named = frozenset(filter(None, functions.split(",")))
        for module in modules(name):
            found += raised(module, named)
    return [each for each in dict.fromkeys(found) if public(each.kind)]


ASIDE: Final = re.compile(r"(?<=\w)[;:,] (?=[^;]*(`|\bthe texts?\b|\bcontract\b|\bequal\b)).*", re.DOTALL)


def meaning(kind: type[AppError]) -> str:
    """What a fact is, in the words of its class, without those that are for who reads the class."""
    first = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return ASIDE.sub("", first).rstrip(".") + "."


class Row(NamedTuple):
    """One answer: what stands in its columns, what it may mean, what it may say."""

    said: tuple[str, str]
    kinds: list[type[AppError]]
    sentences: list[str]

    @property
    def again(self) -> str:
        """Whether the same call may succeed later."""
        passing = {issubclass(kind, Unavailable | Throttled) for kind in self.kinds if kind is not Unforeseen}
        return "perhaps" if len(passing) != 1 else "yes" if True in passing else "no"


@functools.cache
def rows(part: Part) -> list[Row]:
    """The answers of an edge."""
    found: dict[tuple[str, str], Row] = {}
    for kind, text in everything(part):
        for error in instances(kind):
            code, shown, body = part.say(error)
            row = found.setdefault((code, shown), Row((code, shown), [], []))
            if kind not in row.kinds:
                row.kinds.append(kind)
            if body not in shown and VARYING not in body and json.loads(body) not in row.sentences:
                row.sentences.append(json.loads(body))  # it is the same each time, and stands in no column
        if text is not None:
            _note(found, part, kind, text)
    for row in found.values():
        row.kinds.sort(key=lambda kind: (len(kind.__mro__), kind.__qualname__))
        row.sentences.sort(key=str.lower)
    return sorted(found.values(), key=lambda row: row.said)


def _note(found: Mapping[tuple[str, str], Row], part: Part, kind: type[AppError], text: str) -> None:
    """Keep a sentence with its answer, if that varies with it."""
    for plain, error in zip(instances(kind), instances(kind, text), strict=True):
        code, shown, body = part.say(plain)
        if part.say(error)[2] != body and text not in found[code, shown].sentences:
            found[code, shown].sentences.append(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def section(part: Part) -> list[str]:
    """One edge's part of the page."""
    answers = rows(part)
    one, two = part.header
    about = textwrap.fill(part.about, WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = [
        f"## {part.title}",
        "",
        about,
        "",
        f"| {one} | {two} | When | Again |",
        "| --- | --- | --- | --- |",
    ]
    for row in answers:
        when = " ".join(dict.fromkeys(meaning(kind) for kind in row.kinds))
        lines.append(f"| {row.said[0]} | {_cell(row.said[1])} | {_cell(when)} | {row.again} |")
    telling = [row for row in answers if row.sentences]
    if telling:
        lines += ["", "What the text says:"]
    for row in telling:
        lines += ["", f"{label(row)}:", "", *(f"- {sentence}" for sentence in row.sentences)]
    return [*lines, ""]


def label(row: Row) -> str:
    """The head of a list of sentences: a status, a number beside it if there is one, or a summary."""
    numbers = re.findall(r'"(?:code|errno)":(?:"\w+"|\d+)', row.said[1])
    number = numbers[-1].partition(":")[2] if numbers else ""
    return f"{row.said[0]}, {number}" if number and number != row.said[0] else row.said[0]


def front() -> list[str]:
    """What the fronts refuse before any of our code is asked."""
    lines = [
        "## The fronts",
        "",
        "A path that nobody serves has one body that clients of every system can read, on both fronts:",
        "",
        "```json",
        UNKNOWN_ROUTE,
        "```",
        "",
        'A gateway refuses by itself, with `x-request-id` and `{"message":"…"}`, the status in words:',
        "",
        "| Status | When |",
        "| --- | --- |",
        *(f"| {status} | {when} |" for status, when in FRONT.items()),
    ]
    lines += [
        "",
        "API Gateway refuses by itself:",
        "",
        "| Its name for it | Status | Body | When |",
        "| --- | --- | --- | --- |",
    ]
    merged = json.loads((ROOT / "infra" / "resources.json").read_text())
    answers = merged["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]
    for name, answer in sorted(answers.items(), key=lambda each: list(AWS).index(each[0])):
        body = answer["ResponseTemplates"]["application/json"].replace(
            "$context.error.messageString", f'"{VARYING}"'
        )
        lines.append(f"| `{name}` | {answer.get('StatusCode', 'its own')} | `{body}` | {AWS[name]} |")
    return [*lines, ""]


HEAD: Final = """# Errors

Every answer that is no success, by system. `make errors` makes this page of the code that answers.

- **Again**: whether the same call may succeed later without anything being changed by the caller.
- `…` stands for what varies. Texts are for people and may change; programs look at statuses and numbers.
- Every HTTP answer has `x-request-id`: the caller's own, if it sent one, or a new one. The log's line of the
  request has it as `request_id`.
- A 5xx that the service is to blame for is counted as one and has an alarm: [operations](operations.md).
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for part in PARTS:
        lines += section(part)
    return "\n".join([*lines, *front()])


def main() -> None:
    """Make the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
