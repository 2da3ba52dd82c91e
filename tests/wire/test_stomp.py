"""STOMP frames, as literal wire text and as properties (contract 3.1, 12.14, 12.15)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.wire.stomp import (
    COMMANDS,
    NEVER_ESCAPED,
    WITH_BODY,
    Frame,
    FrameError,
    Limits,
    NoCommonVersion,
    Version,
    decode_one,
    encode,
    escape,
    frames,
    negotiate,
    parse_heart_beat,
    unescape,
)
from tests.support.counts import full

V10, V11, V12 = Version.V1_0, Version.V1_1, Version.V1_2
VERSIONS = (V10, V11, V12)
TOPIC = "/secured/conference/visitor/topic.room1@conference.example.com"


def decode(text: str, version: Version = V12, limits: Limits = Limits()) -> list[Frame]:  # noqa: B008
    return list(frames(text, version, limits))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stock_clients_connect_is_read(version):
    text = "CONNECT\nAuthorization:Bearer a.b.c\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n\0"

    (frame,) = decode(text, version)

    assert frame == Frame(
        "CONNECT",
        (
            ("Authorization", "Bearer a.b.c"),
            ("accept-version", "1.2,1.1,1.0"),
            ("heart-beat", "10000,10000"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n", []),
        ("\r\n", []),
        ("\n\r\n\n", []),
        ("DISCONNECT\n\n\0", [Frame("DISCONNECT")]),
        ("\n\r\nDISCONNECT\n\n\0\n\r\n", [Frame("DISCONNECT")]),
        ("DISCONNECT\r\n\r\n\0", [Frame("DISCONNECT")]),
        ("DISCONNECT\r\n\n\0", [Frame("DISCONNECT")]),
        ("DISCONNECT\n\r\n\0", [Frame("DISCONNECT")]),
        ("DISCONNECT\r\nreceipt:a\r\n\r\n\0", [Frame("DISCONNECT", (("receipt", "a"),))]),
        ("DISCONNECT\nreceipt:a\r\n\n\0", [Frame("DISCONNECT", (("receipt", "a"),))]),
        (
            "UNSUBSCRIBE\nid:sub-0\n\n\0\nDISCONNECT\nreceipt:close-1\n\n\0\n",
            [Frame("UNSUBSCRIBE", (("id", "sub-0"),)), Frame("DISCONNECT", (("receipt", "close-1"),))],
        ),
        ("SUBSCRIBE\nid:\n\n\0", [Frame("SUBSCRIBE", (("id", ""),))]),
        ("SUBSCRIBE\nid:a:b\n\n\0", [Frame("SUBSCRIBE", (("id", "a:b"),))]),
        ("SUBSCRIBE\ncontent-length:0\n\n\0", [Frame("SUBSCRIBE", (("content-length", "0"),))]),
        ("SEND\n\nhallo\0", [Frame("SEND", (), "hallo")]),
        ("SEND\n\nline\n\r\n\nline\0", [Frame("SEND", (), "line\n\r\n\nline")]),
        ("SEND\r\n\r\n\r\n\n\0", [Frame("SEND", (), "\r\n\n")]),
        ("SEND\ncontent-length:3\n\na\0b\0", [Frame("SEND", (("content-length", "3"),), "a\0b")]),
        ("SEND\ncontent-length:3\n\naé\0", [Frame("SEND", (("content-length", "3"),), "aé")]),
        ("SEND\ncontent-length:4\n\n😀\0\n", [Frame("SEND", (("content-length", "4"),), "😀")]),
        ("FROB\n\n\0", [Frame("FROB")]),
    ],
)
def test_one_message_holds_whole_frames_and_stray_line_ends(text, expected):
    assert decode(text) == expected


def test_a_nul_in_a_body_needs_a_content_length():
    text = "SEND\ncontent-length:1\n\n1\0SEND\ncontent-length:1\n\n\0\0SEND\n\n\0"

    assert [frame.body for frame in decode(text)] == ["1", "\0", ""]
    with pytest.raises(FrameError):
        decode("SEND\n\na\0b\0")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DISCONNECT", "does not end with NUL"),
        ("DISCONNECT\n\n", "does not end with NUL"),
        ("DISCONNECT\n\n\0CONNECT\n\n", "does not end with NUL"),
        ("DISCONNECT\0", "no empty line"),
        ("DISCONNECT\n\0\n", "no empty line"),
        ("DISCONNECT\nreceipt:a\n\0", "no empty line"),
        ("\0", "no empty line"),
        ("\n\0", "no empty line"),
        ("\r", "does not end with NUL"),
        ("\rDISCONNECT\n\n\0", "not a command"),
        ("disconnect\n\n\0", "not a command"),
        ("DISCONNECT \n\n\0", "not a command"),
        (" DISCONNECT\n\n\0", "not a command"),
        ("DISCONNECT\r\r\n\r\n\0", "not a command"),
        ("GET / HTTP/1.1\r\nhost:x\r\n\r\n\0", "not a command"),
        ("A" * 33 + "\n\n\0", "not a command"),
        ("SUBSCRIBE\nid\n\n\0", "no colon"),
        ("SUBSCRIBE\n:value\n\n\0", "no name"),
        ("SUBSCRIBE\nid:a\r\r\n\n\0", "carriage return"),
        ("SUBSCRIBE\nid:a\rb\n\n\0", "carriage return"),
        ("SUBSCRIBE\n\nbody\0", "no body"),
        ("CONNECT\n\nbody\0", "no body"),
        ("ACK\ncontent-length:4\n\nbody\0", "no body"),
        ("FROB\n\nbody\0", "no body"),
        ("SUBSCRIBE\ncontent-length:4\n\n\0", "content-length says"),
        ("SEND\ncontent-length:4\n\nbod\0", "content-length says"),
        ("SEND\ncontent-length:2\n\nbod\0", "content-length says"),
        ("SEND\ncontent-length:5\n\nbody\0", "content-length says"),
        ("SEND\ncontent-length:1\n\né\0", "inside a character"),
        ("SEND\ncontent-length:-1\n\n\0", "not a number"),
        ("SEND\ncontent-length:+1\n\n1\0", "not a number"),
        ("SEND\ncontent-length:1.0\n\n1\0", "not a number"),
        ("SEND\ncontent-length: 1\n\n1\0", "not a number"),
        ("SEND\ncontent-length:\n\n1\0", "not a number"),
        ("SEND\ncontent-length:\u0661\n\n1\0", "not a number"),
        ("SEND\ncontent-length:99999999999\n\n1\0", "not a number"),
        ("SEND\ncontent-length:16384\n\n1\0", "too large"),
        ("SEND\n\n\ud800\0", "not valid Unicode"),
        ("SEND\nid:\ud800\n\n\0", "not valid Unicode"),
    ],
)
@pytest.mark.parametrize("version", [V11, V12])
def test_what_is_not_a_frame_is_refused_with_one_harmless_sentence(version, text, reason):
    with pytest.raises(FrameError, match=reason) as refused:
        decode(text, version)

    assert str(refused.value) == refused.value.reason
    assert refused.value.reason.isascii()
    assert not set(refused.value.reason) & set("\n\r:\\")


def test_a_body_is_refused_on_every_command_but_send_message_and_error():
    for command in COMMANDS - WITH_BODY:
        with pytest.raises(FrameError, match="no body"):
            decode(f"{command}\n\nx\0")
    for command in WITH_BODY:
        assert decode(f"{command}\n\nx\0") == [Frame(command, (), "x")]


@pytest.mark.parametrize(
    ("version", "spelled", "value"),
    [
        (V12, r"a\cb\\\r\nc", "a:b\\\r\nc"),
        (V11, r"a\cb\\\nc", "a:b\\\nc"),
        (V10, r"a\cb\\\nc", r"a\cb\\\nc"),
        (V12, r"\\n", r"\n"),
        (V12, r"\\\\n", r"\\n"),
        (V12, "\\\\", "\\"),
        (V12, "", ""),
    ],
)
def test_escapes_are_those_of_the_version_in_names_and_values(version, spelled, value):
    (frame,) = decode(f"SUBSCRIBE\nx{spelled}:{spelled}\n\n\0", version)

    assert frame.headers == (("x" + value, value),)
    assert unescape(spelled, version) == value
    assert escape(value, version) == spelled


@pytest.mark.parametrize(
    ("version", "spelled"),
    [(V12, r"\t"), (V12, "\\"), (V12, r"\C"), (V12, r"\\\ "), (V11, r"\t"), (V11, r"\r"), (V11, "a\\")],
)
def test_an_undefined_escape_is_a_fault(version, spelled):
    with pytest.raises(FrameError, match="undefined escape"):
        decode(f"SUBSCRIBE\nid:{spelled}\n\n\0", version)
    with pytest.raises(FrameError, match="undefined escape"):
        decode(f"SUBSCRIBE\n{spelled}:x\n\n\0", version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", sorted(NEVER_ESCAPED))
def test_connect_and_connected_are_never_escaped(command, version):
    text = f"{command}\nlogin:a\\tb\\c:d\n\n\0"

    assert decode(text, version) == [Frame(command, (("login", "a\\tb\\c:d"),))]
    assert encode(Frame(command, (("login", "a\\tb\\c:d"),)), version) == text


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (V10, (("id", "a"), ("n", "b c"), ("e", ""))),
        (V11, (("id ", " a"), (" n", "\tb c "), ("e", " "))),
        (V12, (("id ", " a"), (" n", "\tb c "), ("e", " "))),
    ],
)
def test_only_stomp_1_0_trims_blanks_around_header_names_and_values(version, headers):
    (frame,) = decode("SUBSCRIBE\nid : a\n n:\tb c \ne: \n\n\0", version)

    assert frame.headers == headers


def test_a_name_of_blanks_is_no_name_in_stomp_1_0():
    with pytest.raises(FrameError, match="no name"):
        decode("SUBSCRIBE\n :a\n\n\0", V10)


def test_stomp_1_0_trims_its_content_length_too():
    assert decode("SEND\ncontent-length: 3 \n\na\0b\0", V10)[0].body == "a\0b"


def test_of_a_repeated_header_the_first_wins():
    (frame,) = decode("SEND\nfoo:World\nfoo:Hello\ncontent-length:3\ncontent-length:9\n\na\0b\0")

    assert frame.get("foo") == "World"
    assert frame.body == "a\0b"
    assert frame.get("bar") is None
    assert frame.get("bar", "x") == "x"


def test_header_names_have_a_case_except_authorization():
    (frame,) = decode("CONNECT\nunauthorized.:zero\nauthorizatioN:one\nAuthorization:two\nHost:x\n\n\0")

    assert frame.authorization == "one"
    assert frame.get("host") is None
    assert Frame("CONNECT").authorization is None


def test_the_caller_may_change_the_version_between_frames():
    text = "CONNECT\naccept-version:1.2\n\n\0\nSUBSCRIBE\nid:a\\cb \n\n\0"

    connect, offset = decode_one(text, 0, V10)
    assert connect is not None
    subscribe, offset = decode_one(text, offset, negotiate(connect.get("accept-version")))
    assert subscribe == Frame("SUBSCRIBE", (("id", "a:b "),))
    assert decode_one(text, offset, V12) == (None, len(text))


class TestLimits:
    """Sizes are UTF-8 bytes; what is exactly as large as allowed passes."""

    @pytest.mark.parametrize("character", ["x", "é", "😀"])
    def test_a_frame_from_command_to_nul(self, character):
        width = len(character.encode())
        fits = "SEND\n\n" + "x" * ((1024 - 7) % width) + character * ((1024 - 7) // width) + "\0"
        assert len(fits.encode()) == 1024

        assert decode(fits, limits=Limits(frame=1024)) == decode(fits)
        assert decode("\n" * 2000 + fits, limits=Limits(frame=1024)) == decode(fits)
        with pytest.raises(FrameError, match="too large"):
            decode(fits[:-1] + "x\0", limits=Limits(frame=1024))

    @pytest.mark.parametrize("character", ["x", "\0", "é"])
    def test_a_frame_with_a_content_length(self, character):
        head = "SEND\ncontent-length:1000\n\n"
        text = head + character * (1000 // len(character.encode())) + "\0"

        assert decode(text, limits=Limits(frame=len(head) + 1001)) == decode(text)
        with pytest.raises(FrameError, match="too large"):
            decode(text, limits=Limits(frame=len(head) + 1000))

    def test_the_default_frame_is_16_kib(self):
        text = "SEND\n\n" + "x" * (16384 - 7)

        assert len(decode(text + "\0")) == 1
        with pytest.raises(FrameError, match="too large"):
            decode(text + "x\0")

    def test_32_headers(self):
        text = "SUBSCRIBE\n" + "a:b\n" * 32

        assert len(decode(text + "\n\0")[0].headers) == 32
        with pytest.raises(FrameError, match="too many headers"):
            decode(text + "a:b\n\n\0")

    @pytest.mark.parametrize("character", ["x", "é"])
    def test_a_header_line_of_8_kib(self, character):
        width = len(character.encode())
        line = "ab" + ":" + "x" * ((8192 - 3) % width) + character * ((8192 - 3) // width)

        assert len(decode(f"SUBSCRIBE\na:b\n{line}\nc:d\n\n\0")[0].headers) == 3
        assert len(decode(f"SUBSCRIBE\r\na:b\r\n{line}\nc:d\r\n\r\n\0")[0].headers) == 3
        with pytest.raises(FrameError, match="header is too long"):
            decode(f"SUBSCRIBE\na:b\n{line}x\nc:d\n\n\0")

    def test_many_short_headers_are_not_one_long_one(self):
        text = "SUBSCRIBE\n" + ("n:" + "v" * 400 + "\n") * 30

        assert len(decode(text + "\n\0")[0].headers) == 30


class TestEncode:
    """What we send: bare LF, one spelling, nothing that reads back as another frame."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_connected_is_byte_for_byte_the_contracts(self, version):
        frame = Frame("CONNECTED", (("version", "1.2"), ("heart-beat", "0,480000")))

        assert encode(frame, version) == "CONNECTED\nversion:1.2\nheart-beat:0,480000\n\n\0"

    @pytest.mark.parametrize("version", VERSIONS)
    def test_the_live_message_is_byte_for_byte_the_contracts(self, version):
        body = '{"conference":"room1@conference.example.com","status":"live","randomDelayMs":12000}'
        frame = Frame(
            "MESSAGE",
            (
                ("destination", TOPIC),
                ("subscription", "sub-0"),
                ("message-id", "01J9ZC6T1V4Q"),
                ("content-type", "application/json"),
            ),
            body,
        )

        assert encode(frame, version) == (
            f"MESSAGE\ndestination:{TOPIC}\nsubscription:sub-0\nmessage-id:01J9ZC6T1V4Q\n"
            f"content-type:application/json\ncontent-length:83\n\n{body}\0"
        )

    @pytest.mark.parametrize(
        ("version", "receipt", "spelled"),
        [
            (V12, "close-1", "close-1"),
            (V12, "a:b\\c\r\n", r"a\cb\\c\r\n"),
            (V11, "a:b\\c\n", r"a\cb\\c\n"),
            (V10, r"a:b\c", r"a:b\c"),
            (V12, " a ", " a "),
            (V12, "é😀", "é😀"),
        ],
    )
    def test_a_receipt_is_echoed_so_that_the_client_reads_the_same_text(self, version, receipt, spelled):
        text = encode(Frame("RECEIPT", (("receipt-id", receipt),)), version)

        assert text == f"RECEIPT\nreceipt-id:{spelled}\n\n\0"
        assert decode(text, version)[0].get("receipt-id") == receipt

    @pytest.mark.parametrize(("body", "length"), [("x", 1), ("é", 2), ("😀", 4), ("a\0b", 3), ("\n\n", 2)])
    def test_content_length_counts_utf_8_bytes_and_comes_last(self, body, length):
        frame = Frame("ERROR", (("content-length", "77"), ("message", "m")), body)

        assert encode(frame, V12) == f"ERROR\nmessage:m\ncontent-length:{length}\n\n{body}\0"

    @pytest.mark.parametrize("version", VERSIONS)
    def test_without_a_body_there_is_no_content_length(self, version):
        assert encode(Frame("ERROR", (("content-length", "0"),)), version) == "ERROR\n\n\0"

    @pytest.mark.parametrize(
        ("version", "frame"),
        [
            (V10, Frame("RECEIPT", (("receipt-id", "a\nb"),))),
            (V10, Frame("RECEIPT", (("receipt-id", "a\rb"),))),
            (V10, Frame("RECEIPT", (("receipt-id", " a"),))),
            (V10, Frame("RECEIPT", (("receipt-id", "a\t"),))),
            (V10, Frame("RECEIPT", (("a:b", "c"),))),
            (V11, Frame("RECEIPT", (("receipt-id", "a\r"),))),
            (V12, Frame("RECEIPT", (("receipt-id", "a\0"),))),
            (V12, Frame("RECEIPT", (("", "a"),))),
            (V12, Frame("RECEIPT", (("a", "\ud800"),))),
            (V12, Frame("CONNECTED", (("server", "a\nversion:1.0"),))),
            (V12, Frame("CONNECTED", (("a:b", "c"),))),
            (V12, Frame("MESSAGE", (), "\ud800")),
            (V12, Frame("RECEIPT", (), "body")),
            (V12, Frame("", ())),
            (V12, Frame("RECEIPT\n\n\0MESSAGE", ())),
        ],
    )
    def test_what_has_no_spelling_is_refused(self, version, frame):
        with pytest.raises(FrameError):
            encode(frame, version)


@pytest.mark.parametrize(
    ("accept_version", "version"),
    [
        (None, V10),
        ("1.0", V10),
        ("1.1", V11),
        ("1.2,1.1,1.0", V12),
        ("1.0,1.1", V11),
        (" 1.0 , 1.2 ", V12),
        ("2.0,1.1", V11),
        ("1.1,", V11),
    ],
)
def test_the_highest_common_version_is_spoken(accept_version, version):
    assert negotiate(accept_version) is version


@pytest.mark.parametrize("accept_version", ["2.0", "", "1", "1.2.0", "1.3,1.4", "1.1;1.2"])
def test_no_common_version_is_a_fault(accept_version):
    with pytest.raises(NoCommonVersion):
        negotiate(accept_version)


@pytest.mark.parametrize(
    ("value", "pair"),
    [(None, (0, 0)), ("0,0", (0, 0)), ("10000,15000", (10000, 15000)), (" 1, 2 ", (1, 2))],
)
def test_a_heart_beat_is_two_whole_numbers(value, pair):
    assert parse_heart_beat(value) == pair


@pytest.mark.parametrize(
    "value", ["", "1", "1,", "1,2,3", "-1,2", "1.5,2", "a,b", "\u0663,1", "1" * 10 + ",1"]
)
def test_a_malformed_heart_beat_is_a_fault(value):
    with pytest.raises(FrameError, match="heart-beat"):
        parse_heart_beat(value)


# Properties. Fragments reach what random characters would not.
FRAGMENTS = [
    *sorted(COMMANDS),
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\0",
    ":",
    "\\",
    "\\c",
    "\\n",
    "\\r",
    "\\t",
    " ",
    "\t",
]
FRAGMENTS += [
    "content-length:",
    "id",
    "a:b",
    "0",
    "1",
    "2",
    "17",
    "-1",
    "é",
    "😀",
    "\ud800",
    "\x85",
    "\u2028",
]
JUNK = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join),
    st.text(st.characters(), max_size=60),
    st.builds(
        lambda command, lines, end, body, tail: command + "\n" + "\n".join(lines) + end + body + tail,
        st.sampled_from(sorted(COMMANDS)),
        st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=5).map("".join), max_size=5),
        st.sampled_from(["\n\n", "\r\n\r\n", "\n", "\n\r\n"]),
        st.lists(st.sampled_from(FRAGMENTS), max_size=5).map("".join),
        st.sampled_from(["\0", "", "\0\n", "\0\0"]),
    ),
)


def words(excluded: str, *, trimmed: bool = False) -> st.SearchStrategy[str]:
    """Short text with the characters that matter far more often than by chance."""
    characters = sorted(set(":\\\n\r cnrt\té😀") - set(excluded))
    wild = st.characters(exclude_categories=["Cs"], exclude_characters=excluded)
    text = st.text(st.sampled_from(characters), max_size=8) | st.text(wild, max_size=8)
    return text.map(lambda word: word.strip(" \t")) if trimmed else text


def spellable(version: Version) -> st.SearchStrategy[Frame]:
    """Frames that have a spelling in `version`."""
    trimmed = version is V10
    not_escaped = {V10: "\0\n\r", V11: "\0\r", V12: "\0"}[version]

    def headers(in_name: str, in_value: str) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
        names = words(in_name, trimmed=trimmed).map(lambda name: name or "x")
        return st.lists(st.tuples(names, words(in_value, trimmed=trimmed)), max_size=4).map(tuple)

    plain = headers("\0\n\r:", "\0\n\r")
    escaped = plain if version is V10 else headers(not_escaped, not_escaped)
    body = st.text(st.sampled_from("\0\n\r x€😀"), max_size=6) | st.text(max_size=6)
    return st.one_of(
        st.builds(Frame, st.sampled_from(sorted(NEVER_ESCAPED)), plain),
        st.builds(Frame, st.sampled_from(sorted(COMMANDS - NEVER_ESCAPED)), escaped),
        st.builds(Frame, st.sampled_from(sorted(WITH_BODY)), escaped, body),
    )


WRITTEN = st.sampled_from(VERSIONS).flatmap(
    {version: st.tuples(st.just(version), spellable(version)) for version in VERSIONS}.__getitem__
)


def without_content_length(frame: Frame) -> Frame:
    return Frame(frame.command, tuple(h for h in frame.headers if h[0] != "content-length"), frame.body)


@settings(max_examples=full(500, 100_000))
@given(JUNK, st.sampled_from(VERSIONS))
def test_reading_raises_nothing_but_its_own_error_and_what_is_read_can_be_written(text, version):
    offset = 0
    while True:
        try:
            frame, after = decode_one(text, offset, version)
        except FrameError:
            return
        assert offset <= after <= len(text)
        if frame is None:
            assert after == len(text)
            return
        assert after > offset
        offset = after
        if frame.command in COMMANDS:
            (again,) = decode(encode(frame, version), version)
            assert without_content_length(again) == without_content_length(frame)


@settings(max_examples=full(500, 100_000))
@given(WRITTEN)
def test_what_is_written_reads_back_the_same(written):
    version, frame = written

    text = encode(frame, version)
    read, again = decode(f"{text}\n{text}", version)

    assert read == again
    assert without_content_length(read) == frame
    assert read.get("content-length") == (str(len(frame.body.encode())) if frame.body else None)


@settings(max_examples=full(200, 5_000))
@given(
    st.builds(
        Frame,
        st.sampled_from([*sorted(COMMANDS), "", "connect", "A\nB"]),
        st.lists(st.tuples(words(""), words("")), max_size=4).map(tuple),
        st.text(st.characters(), max_size=4),
    ),
    st.sampled_from(VERSIONS),
)
def test_writing_raises_nothing_but_its_own_error_and_never_makes_a_second_frame(frame, version):
    try:
        text = encode(frame, version)
    except FrameError:
        return

    (read,) = decode(text, version)
    assert without_content_length(read) == without_content_length(frame)
