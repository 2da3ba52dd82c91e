"""Hawk (contract 4): the vectors of 4.4, headers that cannot be read, and what may have been signed."""

import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mohawk import Sender

from chalicelib.loop.store import credentials
from chalicelib.wire import hawk
from chalicelib.wire.hawk import Claim, Malformed
from tests.support import hawk as client

TOKEN = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
ID = "5fa7b1a9a3266f052b766e956f525b583607e777f264a5bb67b57ed5e34c2c5c"
KEY = "4f05fbeb8c81b662f52d5c21595c1033a5126f3b7dabd872c4cfd8298254651c"
RESOURCE = "/api/rooms/QzBbvGmIZWU"
HOST = "loop.example.com"
TS = "1700000000"
BODY = b'{"action": "leave"}'
HASH = "21MjD/QaoeVO1CBbZlZCe7BR9y2TPGICd8RmBTdy6Lg="
MAC = "te+r37Qt8pGj7LfacFgsxULVuLQCokN70X2EkaurqpU="

CLAIM = Claim(ID, TS, "abc123", MAC, HASH)
GOOD = f'id="{ID}", ts="{TS}", nonce="abc123", mac="{MAC}"'


def prove(claim: Claim, resources: list[str], method: str = "POST") -> hawk.Signed | None:
    return hawk.prove(claim, KEY, method, resources, HOST, "443")


def proven(claim: Claim = CLAIM) -> hawk.Signed:
    found = prove(claim, [RESOURCE])
    assert found is not None
    return found


class TestVectors:
    def test_id_and_key_are_derived_from_the_session_token(self):
        assert credentials.derive(bytes.fromhex(TOKEN)) == (ID, KEY)
        assert client.derive(TOKEN) == client.Credentials(ID, KEY)

    def test_the_hash_of_the_body(self):
        assert hawk.payload_hash("application/json", BODY) == HASH
        assert hawk.payload_hash(" Application/JSON ; charset=utf-8", BODY) == HASH

    def test_the_mac_of_the_request(self):
        assert proven().name == RESOURCE

    def test_an_empty_answer_has_a_mac_alone(self):
        assert hawk.answer(proven(), "", b"") == 'Hawk mac="8rSWlnEH4bl13yg/yoaWlairOW0tkxOCtx3oNENHRmo="'

    def test_an_answer_with_a_body_has_its_hash_too(self):
        assert hawk.answer(proven(), "application/json", b'{"expires":300}') == (
            'Hawk mac="Obby61ytXF33Z2f6wf10WnYzja7ceL2m08xMY5jFYos=", '
            'hash="Aa3dGorXpDd56iJz/nYK47H8nKg8B8JszDtEga9Wglo="'
        )

    def test_our_time_is_proven_to_whoever_proved_itself(self):
        assert hawk.stale(KEY, 1700000000) == (
            f'Hawk ts="{TS}", tsm="6jSAyYucp9Zkt1lCJ1WyMXYkTUkRrIrjZQViwj/Hw8c=", error="Stale timestamp"'
        )

    def test_the_tests_own_signer_agrees(self):
        given = client.sign(
            *(client.derive(TOKEN), "POST", RESOURCE, HOST, 443), body=BODY, ts=TS, nonce="abc123"
        )
        assert (given.hash, given.mac()) == (HASH, MAC)
        assert client.tsm(given.credentials, TS) in hawk.stale(KEY, int(TS))


class TestReading:
    def test_a_header_says_what_stands_in_it(self):
        assert hawk.parse(f'{GOOD}, hash="{HASH}"') == CLAIM
        assert hawk.parse(GOOD + ', ext="a b", app="x", dlg="y"')[5:] == ("a b", "x", "y")

    @pytest.mark.parametrize("comma", [",", ", ", " ,  ", " , ", ",\t"])
    def test_blanks_around_commas_do_not_count(self, comma):
        assert hawk.parse(GOOD.replace(", ", comma)) == CLAIM._replace(hash="")

    def test_what_mohawk_sends_is_read(self):
        credential = {"id": ID, "key": KEY, "algorithm": "sha256"}
        sender = Sender(
            *(credential, f"https://{HOST}{RESOURCE}", "POST"),
            content=BODY,
            content_type="application/json; charset=utf-8",
            ext="what, else?",
            app="app",
            dlg="dlg",
        )
        claim = hawk.parse(sender.request_header.removeprefix("Hawk "))
        signed = prove(claim, [RESOURCE])
        assert signed is not None
        assert claim.hash == hawk.payload_hash("application/json", BODY)
        sender.accept_response(
            hawk.answer(signed, "application/json", b"{}"), content=b"{}", content_type="application/json"
        )
        sender.accept_response(hawk.answer(signed, "", b""), content=b"", content_type="")

    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", "x", "=", ",", '"', '=""', 'id=""', "id=abc", "id='abc'", f" {GOOD}"),
            *(GOOD.replace("=", " = ", 1), GOOD.replace('"', "", 1), GOOD[:-1], GOOD.replace(",", ";")),
            *(GOOD.replace(", ", " ", 1), f"{GOOD}, {GOOD}", f'{GOOD}, id="x"', f'{GOOD}, tsm="x"'),
            *(f'{GOOD}, error="x"', f'{GOOD}, realm="x"', f'{GOOD}, ID="x"', f'{GOOD}, ext=""'),
            *(f'{GOOD}, ext="a\\"b"', f'{GOOD}, ext="a\\\\b"', f'{GOOD}, ext="ä"', f'{GOOD}, ext="a\nb"'),
            *(f'{GOOD}, ext="\x00"', f'{GOOD}, ext="\ud800"', f'{GOOD}, ёxt="a"', f'{GOOD}, ext="a" b'),
            *(f'{GOOD}, hash=""', f"{GOOD}, ,", f"{GOOD},,", f'{GOOD}, ext="{"x" * 4096}"'),
            *(GOOD.replace(f'ts="{TS}"', f'ts="{bad}"') for bad in ("", "x", "1.5", "-1", "1e9", "0x1", "٣")),
            *(GOOD.replace(f'ts="{TS}"', f'ts="{bad}"') for bad in (" 1", "1 ", "+1", "NaN", "9" * 16)),
            *(GOOD.replace(f'{name}="', f'x{name}="') for name in ("id", "ts", "nonce", "mac")),
            *(", ".join(part for part in GOOD.split(", ") if part[:2] != name) for name in ("id", "ts")),
            *(", ".join(part for part in GOOD.split(", ") if part[:2] != name) for name in ("no", "ma")),
        ],
    )
    def test_what_is_no_header_of_hawk_is_refused(self, text):
        with pytest.raises(Malformed):
            hawk.parse(text)

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text):
        try:
            hawk.parse(text)
        except Malformed:
            return

    def test_a_claim_does_not_spell_itself_out(self):
        assert ID not in repr(CLAIM)
        assert MAC not in str(CLAIM)


class TestProving:
    @pytest.mark.parametrize(
        "changed",
        [
            {"ts": "1700000001"},
            {"nonce": "abc124"},
            {"hash": ""},
            {"hash": HASH[:-2] + "h="},
            {"ext": "x"},
            {"app": "x"},
            {"mac": MAC[:-2] + "V="},
            {"mac": MAC[:-1]},
            {"mac": "x"},
        ],
    )
    def test_one_other_character_is_not_the_signed_request(self, changed):
        assert prove(CLAIM._replace(**changed), [RESOURCE]) is None

    @pytest.mark.parametrize("resource", ["", "/", "/api/rooms/QzBbvGmIZWu", RESOURCE + "?", "/\ud800"])
    def test_another_resource_is_not_the_signed_one(self, resource):
        assert prove(CLAIM, [resource]) is None

    def test_another_method_is_not_the_signed_one(self):
        assert prove(CLAIM, [RESOURCE], "PATCH") is None

    def test_delegation_counts_only_below_an_application(self):
        assert prove(CLAIM._replace(dlg="x"), [RESOURCE]) is not None

    def test_one_of_several_resources_is_enough(self):
        found = prove(CLAIM, ["/a", RESOURCE, "/b"])
        assert found is not None
        assert found.name == RESOURCE


class TestResources:
    @pytest.mark.parametrize(
        ("host", "proto", "expected"),
        [
            ("loop.example", "https", ("loop.example", "443")),
            ("LOOP.Example", "HTTPS", ("loop.example", "443")),
            ("loop.example", "http", ("loop.example", "80")),
            ("loop.example", "", ("loop.example", "80")),
            ("loop.example", "https, http", ("loop.example", "443")),
            ("loop.example:8080", "https", ("loop.example", "8080")),
            ("[2001:db8::1]", "https", ("2001:db8::1", "443")),
            ("[2001:DB8::1]:81", "http", ("2001:db8::1", "81")),
        ],
    )
    def test_host_and_port_are_those_the_client_typed(self, host, proto, expected):
        assert hawk.host_and_port(host, proto) == expected

    @pytest.mark.parametrize("host", ["", "a b", "a:b", "a:", ":80", "a:1:2", "a:123456"])
    def test_what_is_no_host_is_refused(self, host):
        with pytest.raises(Malformed):
            hawk.host_and_port(host, "https")

    @pytest.mark.parametrize(
        ("typed", "decoded"),
        [
            ("version=17", {"version": ["17"]}),
            ("version=", {"version": [""]}),
            ("a=1&a=2", {"a": ["1", "2"]}),
            ("b=2&a=1", {"a": ["1"], "b": ["2"]}),
            # encodeURIComponent, requests, RFC 3986; lower-case digits; a plus for a blank
            ("u=http%3A%2F%2Fx%2F%3Fa%3D(b)!%20%C3%A4", {"u": ["http://x/?a=(b)! ä"]}),
            ("u=http://x/?a=(b)!%20%C3%A4", {"u": ["http://x/?a=(b)! ä"]}),
            ("u=http%3A%2F%2Fx%2F%3Fa%3D%28b%29%21%20%C3%A4", {"u": ["http://x/?a=(b)! ä"]}),
            ("u=http%3a%2f%2fx%2f%3fa%3d(b)!%20%c3%a4", {"u": ["http://x/?a=(b)! ä"]}),
            ("u=http%3A%2F%2Fx%2F%3Fa%3D(b)!+%C3%A4", {"u": ["http://x/?a=(b)! ä"]}),
        ],
    )
    def test_a_decoded_query_is_found_as_it_was_typed(self, typed, decoded):
        assert f"?{typed}" in list(hawk.queries(decoded))

    def test_javascripts_spelling_is_tried_first_and_no_spelling_twice(self):
        assert next(hawk.queries({"u": ["~a-b_c.d!e*f'g(h)i/j"]})) == "?u=~a-b_c.d!e*f'g(h)i%2Fj"
        assert list(hawk.queries({"version": ["17"]})) == ["?version=17"]
        tried = list(hawk.queries({"u": ["http://x/ y"]}))
        assert len(tried) == len(set(tried))

    @pytest.mark.parametrize(
        ("path", "stage", "prefixes", "expected"),
        [
            ("/prod/rooms", "prod", [], ["/prod/rooms", "/rooms"]),
            ("/api/rooms", "prod", [], ["/api/rooms"]),
            ("/rooms", "rooms", [], ["/rooms"]),
            ("/rooms/x", "", [], ["/rooms/x"]),
            ("/dev/rooms", "dev", ["/_aws/{api}/{stage}"], ["/dev/rooms", "/rooms", "/_aws/a1/dev/rooms"]),
        ],
    )
    def test_each_front_has_its_own_path_in_front(self, path, stage, prefixes, expected):
        assert hawk.paths(path, stage, "a1", prefixes) == expected


def test_mohawk_says_nothing_below_a_warning():
    assert logging.getLogger("mohawk").getEffectiveLevel() >= logging.WARNING
    assert not logging.getLogger("mohawk.util").isEnabledFor(logging.INFO)


def test_headers_and_keys_stay_out_of_the_log(caplog):
    with caplog.at_level(logging.DEBUG):
        proven()
        hawk.answer(proven(), "application/json", BODY)
    assert caplog.text == ""


def test_proving_a_request_brings_no_framework_along():
    script = "import sys, chalicelib.wire.hawk; print({'boto3', 'chalice', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
