"""asyncapi.yaml is a document of its kind, says what the code says, and shows what goes over the wire."""

import copy
import json
import subprocess
import tomllib
from collections.abc import Callable
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped,unused-ignore]
from referencing import Registry
from referencing.jsonschema import DRAFT7

from chalicelib.jitsi import messages, sockets
from chalicelib.sora import notices
from chalicelib.sora import sockets as listening
from chalicelib.wire import stomp
from infra.children import Gateway
from tests.conftest import GatewayFactory
from tests.reference.dialogues import (
    ADDRESSES,
    FILE,
    Dialogue,
    Held,
    Names,
    check,
    dialogues,
    document,
    examples,
)
from tests.support import node
from tests.support.clients import StompClient
from tests.support.fronts import Tokens

DOCUMENT: Final = document()
EXAMPLES: Final = examples(DOCUMENT)
DIALOGUES: Final = list(dialogues(DOCUMENT))
MESSAGES: Final[dict[str, Any]] = DOCUMENT["components"]["messages"]
SEVERITIES: Final = ("error", "warning")
HASTY: Final = {"JITSI_STATE_INTERVAL_S": "1"}
"""What would only make a test wait."""

At = Callable[[Dialogue], Gateway]


@pytest.fixture(scope="module")
def at(standing: GatewayFactory) -> At:
    """The gateway of a dialogue; those with the same settings share one."""
    running: dict[str, Gateway] = {}

    def find(dialogue: Dialogue) -> Gateway:
        key = json.dumps(dialogue.settings, sort_keys=True)
        if key not in running:
            running[key] = standing(wait=True, **(HASTY | dict(dialogue.settings)))
        return running[key]

    return find


def test_the_document_is_valid_by_the_official_parser():
    folder = node.modules(node.REFERENCE)
    done = subprocess.run(
        [node.executable("node"), "asyncapi.mjs", str(FILE)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["parsed"]
    assert [each for each in found["diagnostics"] if each["severity"] in SEVERITIES] == []


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda each: f"{each.channel}: {each.name}")
def test_each_dialogue_goes_as_documented(at: At, dialogue: Dialogue, credentials: Any):
    Held(at(dialogue), dialogue, Tokens(credentials)).run(EXAMPLES)


def test_every_example_is_used():
    used = {step.get("sends") or step.get("gets") for each in DIALOGUES for step in each.steps}
    assert used - {None} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("part", ["headers", "payload"])
def test_every_example_has_the_form_that_its_message_demands(name: str, part: str):
    example = EXAMPLES[name]
    value = getattr(example, part)
    if part not in MESSAGES[example.message]:
        assert not value
        return
    assert list(form(example.message, part).iter_errors(value)) == []


def form(message: str, part: str) -> Draft7Validator:
    """What a part of a message has to be."""
    registry: Registry[Any] = Registry().with_resource("urn:foyer", DRAFT7.create_resource(DOCUMENT))
    place = {"$ref": f"urn:foyer#/components/messages/{message}/{part}"}
    return Draft7Validator(place, registry=registry)


def test_the_schemas_refuse_what_is_not_theirs():
    live = copy.deepcopy(EXAMPLES["live.released"].payload) | {"status": "over"}
    created = {**EXAMPLES["created.oneself"].payload, "event_type": "connection.destroyed"}
    assert list(form("live", "payload").iter_errors(live))
    assert list(form("created", "payload").iter_errors(created))


def test_dialogues_use_the_messages_of_their_channels():
    for dialogue in DIALOGUES:
        there = DOCUMENT["channels"][dialogue.channel]["messages"]
        for step in dialogue.steps:
            name = step.get("sends") or step.get("gets")
            assert name is None or name.partition(".")[0] in there, (dialogue.name, step)


def test_every_message_belongs_to_an_operation():
    named = json.dumps([DOCUMENT["operations"], DOCUMENT["channels"]])
    assert [message for message in MESSAGES if f'/messages/{message}"' not in named] == []


def test_the_addresses_are_those_of_the_code():
    queue = DOCUMENT["channels"]["queue"]
    listed = {f"/{path}" for path in queue["parameters"]["endpoint"]["enum"]}
    assert listed == set(sockets.endpoints())
    assert (
        queue["address"].partition("{")[0] + queue["parameters"]["endpoint"]["default"] == ADDRESSES["queue"]
    )
    assert DOCUMENT["channels"]["signaling"]["address"] == listening.PATH
    offered = queue["bindings"]["ws"]["headers"]["properties"]["Sec-WebSocket-Protocol"]["enum"]
    assert tuple(offered) == stomp.SUBPROTOCOLS


def test_every_address_of_the_queue_can_be_opened(at: At):
    queue = DOCUMENT["channels"]["queue"]
    gateway = at(DIALOGUES[0])
    for endpoint in queue["parameters"]["endpoint"]["enum"]:
        with StompClient(gateway.ws, queue["address"].replace("{endpoint}", endpoint)) as client:
            assert client.subprotocol == stomp.SUBPROTOCOLS[0], endpoint
            if endpoint.startswith("visitors-list"):
                assert client.connect(None)[1]["message"] == messages.DENIED


def test_every_frame_and_message_that_is_served_is_in_the_document():
    commands = {each["x-command"] for each in MESSAGES.values() if "x-command" in each}
    synonyms = {"STOMP": "connect", "NACK": "acknowledge"}
    assert all(f"`{name}`" in MESSAGES[message]["summary"] for name, message in synonyms.items())
    assert set(sockets.FRAMES) <= commands | set(synonyms)
    types = {
        message["payload"]["properties"]["type"]["const"]
        for message in map(MESSAGES.get, ("listen", "pong", "leave"))
        if message
    }
    assert types == listening.KNOWN
    heads = {messages.DENIED, messages.MALFORMED, messages.UNAVAILABLE}
    assert set(MESSAGES["error"]["headers"]["properties"]["message"]["enum"]) == heads
    events = {
        EXAMPLES[name].payload["event_type"] for name in EXAMPLES if name.startswith(("created", "destroyed"))
    }
    assert events == {notices.CREATED, notices.DESTROYED}


def test_the_version_is_the_products():
    project = tomllib.loads((FILE.parent / "pyproject.toml").read_text())["project"]
    assert DOCUMENT["info"]["version"] == project["version"]


FRAME: Final = (
    "MESSAGE\ndestination:/secured/conference/visitor/topic.room1@conference.meet.local\nsubscription:sub-0\n"
    "message-id:abc\ncontent-type:application/json\ncontent-length:81\n\n"
    '{"conference":"room1@conference.meet.local","status":"live","randomDelayMs":1000}\0'
)


def test_an_answer_that_is_the_example_passes():
    check(EXAMPLES["live.released"], FRAME, Names({}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("MESSAGE", "RECEIPT"),
        ("sub-0", "sub-1"),
        ("content-length:81\n", ""),
        ("content-length:81", "content-length:99"),
        ("\n\n", "\nmore:1\n\n"),
        ("1000}", "1001}"),
        ('"live",', '"live","extra":1,'),
        ("room1@", "room2@"),
        ("\0", ""),
        ("subscription:sub-0\nmessage-id:abc", "message-id:abc\nsubscription:sub-0"),
    ],
)
def test_any_other_answer_does_not(old: str, new: str):
    with pytest.raises((AssertionError, ValueError)):
        check(EXAMPLES["live.released"], FRAME.replace(old, new), Names({}))


def test_what_varies_is_the_same_wherever_the_document_has_the_same():
    names = Names({})
    names.compare({"a": "X", "b": ["Y"]}, {"a": "1", "b": ["Y"]}, frozenset({"a"}))
    names.compare({"c": {"a": "X"}}, {"c": {"a": "1"}}, frozenset({"a"}))
    with pytest.raises(AssertionError):
        names.compare({"a": "X"}, {"a": "2"}, frozenset({"a"}))
    assert names.put({"id": "X"}) == {"id": "1"}


def test_what_a_client_said_is_not_learned_anew():
    names = Names({})
    names.said({"client_id": "laptop"})
    with pytest.raises(AssertionError):
        names.compare({"client_id": "laptop"}, {"client_id": "phone"}, frozenset({"client_id"}))
