"""Destinations, bodies and frames, on literal wire text."""

import pytest

from chalicelib.jitsi import messages
from chalicelib.jitsi.messages import Address
from chalicelib.wire.stomp import Version

ROOM = "room1@conference.example.com"


def test_the_live_message_is_spelled_as_the_contract_shows_it():
    usual = messages.usual_destination("visitor", ROOM)
    body = messages.live_body(ROOM, 12000)
    assert messages.message(Address("sub-0", usual), "01J9ZC6T1V4Q", body) == (
        "MESSAGE\n"
        "destination:/secured/conference/visitor/topic.room1@conference.example.com\n"
        "subscription:sub-0\n"
        "message-id:01J9ZC6T1V4Q\n"
        "content-type:application/json\n"
        "content-length:83\n"
        "\n"
        '{"conference":"room1@conference.example.com","status":"live","randomDelayMs":12000}\0'
    )


def test_the_count_is_spelled_as_the_contract_shows_it():
    usual = messages.usual_destination("state", ROOM)
    text = messages.message(Address("sub-0", usual), "01J9ZC7A9K2M", messages.count_body(ROOM, 42))
    assert text == (
        "MESSAGE\n"
        "destination:/secured/conference/state/topic.room1@conference.example.com\n"
        "subscription:sub-0\n"
        "message-id:01J9ZC7A9K2M\n"
        "content-type:application/json\n"
        "content-length:66\n"
        "\n"
        '{"conference":"room1@conference.example.com","visitorsWaiting":42}\0'
    )


def test_content_length_counts_bytes_and_an_asked_for_ack_is_there():
    text = messages.message(Address("1", "/d", True), "m1", messages.live_body("möte@c.d", 0))
    assert "\nack:m1\n" in text
    body = text.partition("\n\n")[2][:-1]
    assert f"content-length:{len(body.encode())}\n" in text


def test_connected_is_spelled_as_the_contract_shows_it():
    assert messages.connected(Version.V1_2, "0,480000") == "CONNECTED\nversion:1.2\nheart-beat:0,480000\n\n\0"


@pytest.mark.parametrize(
    ("version", "receipt", "spelled"),
    [
        (Version.V1_2, "close-1", "close-1"),
        (Version.V1_2, "a:b\\c\r\n", "a\\cb\\\\c\\r\\n"),
        (Version.V1_1, "a:b\n", "a\\cb\\n"),
        (Version.V1_0, "a:b", "a:b"),
    ],
)
def test_a_receipt_reads_back_as_the_text_that_was_sent(version, receipt, spelled):
    assert messages.receipt(receipt, version) == f"RECEIPT\nreceipt-id:{spelled}\n\n\0"


def test_an_error_names_its_sentence_and_its_length():
    assert messages.error("Access denied", "The token is not accepted", Version.V1_2, "r1") == (
        "ERROR\nmessage:Access denied\ncontent-type:text/plain\nreceipt-id:r1\ncontent-length:25\n"
        "\nThe token is not accepted\0"
    )


@pytest.mark.parametrize(
    ("text", "kind", "conference"),
    [
        ("/secured/conference/visitor/topic." + ROOM, "visitor", ROOM),
        ("/secured/conference/state/topic." + ROOM, "state", ROOM),
        ("/secured/conference/visitors-list/topic/abc", "list", ""),
        ("/secured/conference/visitors-list/queue/abc/def", "list", ""),
        ("/secured/conference/visitor/topic", "other", ""),
        ("/topic/x", "other", ""),
        ("", "other", ""),
    ],
)
def test_a_destination_names_its_class_and_conference(text, kind, conference):
    assert messages.destination(text) == (kind, conference)


@pytest.mark.parametrize(
    ("addresses", "packed"),
    [
        ([Address("sub-0", "/usual")], "sub-0"),
        ([Address("[1", "/usual")], '[["[1","",false]]'),
        ([Address("sub-0", "/USUAL")], '[["sub-0","/USUAL",false]]'),
        ([Address("a", "/usual", True)], '[["a","",true]]'),
        ([Address("a", "/usual"), Address("b", "/other")], '[["a","",false],["b","/other",false]]'),
        ([Address("a", "/usual", again=7)], '[["a","",false,7]]'),
    ],
)
def test_addresses_are_kept_short_and_read_back_equal(addresses, packed):
    assert messages.pack(addresses, "/usual") == packed
    assert messages.unpack(packed, "/usual") == addresses
