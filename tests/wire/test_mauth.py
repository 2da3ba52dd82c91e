"""MAuth headers and signatures: contract 4.1, 4.2 and 13.2, and our second method."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.errors import Unauthenticated
from chalicelib.wire import mauth
from chalicelib.wire.mauth import V1, V2, Claim, NotProven, parse
from tests.support import mauth as signer
from tests.support.counts import full

KEY = "21989"
PLAIN = "YjcwNTkxMDg0YWI1NjNkNmFmYWQ5NTQyZDRjNmNjNjYzZjAxYTRhZGIzNDNlNGU3Mjk3ZGNjYjYwYjE1OWQzMA=="
NAMED = "YjRkYjM5NWQwZWM4YmFkNzAzYzQ5YzgxNGFjMTE5ZTI3MmIxNGQ3MGE1M2QyNDBhMzMwZTc1MWUyZjE5MTllZg=="
HEADER = (
    "MAuth realm=http://marte3.dit.upm.es,mauth_signature_method=HMAC_SHA256,"
    "mauth_serviceid=5e0d0c0a0b0c0d0e0f101112,mauth_cnonce=87428,mauth_timestamp=1406079112038,"
    f"mauth_signature={PLAIN}"
)
CLAIM = Claim(V1, "5e0d0c0a0b0c0d0e0f101112", "87428", "1406079112038", PLAIN)


def refused(header: str | None) -> str:
    with pytest.raises(NotProven) as error:
        parse(header)
    assert str(error.value) == "The request is not authenticated"
    return error.value.reason


class TestHeader:
    def test_the_js_sdk_puts_no_blanks_after_commas(self):
        assert parse(HEADER) == CLAIM

    @pytest.mark.parametrize("comma", [", ", " , ", ",\t", ",   "])
    def test_d05_blanks_after_commas_as_the_guide_shows_them_do_not_count(self, comma):
        assert parse(HEADER.replace(",", comma)) == CLAIM

    @pytest.mark.parametrize("scheme", ["MAuth ", "MAuth   ", " MAuth ", "mauth ", "MAUTH "])
    def test_the_scheme_word_has_no_case_and_blanks_around_it_do_not_count(self, scheme):
        assert parse(HEADER.replace("MAuth ", scheme)) == CLAIM

    def test_order_does_not_matter(self):
        parts = HEADER.removeprefix("MAuth ").split(",")
        assert parse("MAuth " + ",".join(reversed(parts))) == CLAIM

    def test_a_part_ends_at_the_comma_and_its_name_at_the_first_equals_sign(self):
        assert parse(HEADER).signature.endswith("==")

    def test_one_pair_of_quotes_is_taken_off(self):
        quoted = HEADER.replace("=87428", '="87428"').replace(f"={PLAIN}", f'="{PLAIN}"')
        assert parse(quoted) == CLAIM
        assert parse(HEADER.replace("=87428", '=""87428""')).cnonce == '"87428"'
        assert parse(HEADER.replace("=87428", '="')).cnonce == '"'

    @pytest.mark.parametrize(
        "realm", ["", "realm=x,", 'realm="a=b",', "realm,", ",,", "opaque=1,mauth_version=3,"]
    )
    def test_realm_and_unknown_parts_are_ignored(self, realm):
        assert parse(HEADER.replace("realm=http://marte3.dit.upm.es,", realm)) == CLAIM

    def test_the_prefix_of_a_name_may_be_missing(self):
        assert parse(HEADER.replace("mauth_cnonce", "cnonce")) == CLAIM

    @pytest.mark.parametrize("cnonce", ["0", "99999", "7f3a9c0b1d2e4f56", "a b", "é", "%20"])
    def test_the_nonce_is_any_text_and_is_not_decoded(self, cnonce):
        assert parse(HEADER.replace("87428", cnonce)).cnonce == cnonce

    def test_user_name_and_role_stand_anywhere_and_as_they_were_sent(self):
        header = HEADER.replace("mauth_cnonce", "mauth_username=YWxpY2U=,mauth_role=presenter,mauth_cnonce")
        claim = parse(header)
        assert (claim.username, claim.role, claim.names_user) == ("YWxpY2U=", "presenter", True)

    @pytest.mark.parametrize("header", [None, "", "   "])
    def test_no_header_proves_nothing(self, header):
        assert refused(header) == "no header"

    @pytest.mark.parametrize(
        "header", ["Basic YTpi", "Bearer a.b.c", "Hawk id=1", "MAuthx " + HEADER, HEADER.replace(" ", "", 1)]
    )
    def test_another_scheme_proves_nothing(self, header):
        assert refused(header) == "another scheme"

    @pytest.mark.parametrize("name", ["signature_method", "serviceid", "cnonce", "timestamp", "signature"])
    def test_a_missing_or_empty_part_proves_nothing(self, name):
        parts = HEADER.removeprefix("MAuth ").split(",")
        kept = [part for part in parts if not part.startswith(f"mauth_{name}=")]
        assert refused("MAuth " + ",".join(kept)) == f"no {name}"
        assert refused("MAuth " + ",".join([*kept, f"mauth_{name}="])) == f"no {name}"
        assert refused("MAuth " + ",".join([*kept, f'mauth_{name}=""'])) == f"no {name}"

    @pytest.mark.parametrize("method", ["HMAC_SHA1", "hmac_sha256", "none", "HMAC_SHA256_V3"])
    def test_another_method_proves_nothing(self, method):
        assert refused(HEADER.replace("HMAC_SHA256", method)) == "another signature method"

    def test_a_part_that_stands_twice_could_be_read_in_two_ways(self):
        assert refused(HEADER + ",mauth_serviceid=another") == "serviceid stands twice"
        assert refused(HEADER + ",serviceid=another") == "serviceid stands twice"

    def test_a_header_has_an_end_and_no_control_characters(self):
        assert refused(HEADER + ",x=" + "y" * mauth.MAX_HEADER) == "the header is too long"
        assert refused(HEADER.replace("87428", "87\n428")) == "a control character in the header"
        assert refused(HEADER.replace("87428", "87\x00428")) == "a control character in the header"

    @settings(max_examples=full(300, 3_000))
    @given(st.text(max_size=80) | st.text('MAuth mauth_=,"serviceidcnoncetimestampsignature0', max_size=200))
    def test_nothing_but_its_own_refusal_comes_of_any_text(self, text):
        for header in (text, "MAuth " + text):
            try:
                claim = parse(header)
            except Unauthenticated:
                continue
            assert not mauth.signed(claim, KEY, mauth.signed_text(claim))

    def test_a_claim_does_not_show_its_signature(self):
        assert PLAIN not in repr(CLAIM)


class TestSignature:
    def test_check_value_without_a_user(self):
        assert mauth.signed_text(CLAIM) == "1406079112038,87428"
        assert mauth.sign(KEY, "1406079112038,87428") == PLAIN
        assert mauth.signed(CLAIM, KEY, mauth.signed_text(CLAIM))

    def test_check_value_with_a_user(self):
        claim = Claim(V1, "s", "87428", "1406079112038", NAMED, "test", "role")
        assert mauth.signed_text(claim) == "1406079112038,87428,test,role"
        assert mauth.signed(claim, KEY, mauth.signed_text(claim))

    @pytest.mark.parametrize(("username", "role"), [("test", ""), ("", "role"), ("", "")])
    def test_d22_user_and_role_are_signed_only_if_neither_is_empty(self, username, role):
        claim = Claim(V1, "s", "87428", "1406079112038", PLAIN, username, role)
        assert mauth.signed(claim, KEY, mauth.signed_text(claim))
        assert not claim.names_user

    def test_time_and_nonce_are_signed_exactly_as_they_stand(self):
        claim = parse(HEADER.replace("1406079112038", "01406079112038"))
        assert not mauth.signed(claim, KEY, mauth.signed_text(claim))

    def test_it_is_the_base64_of_hexadecimal_text_and_not_of_bytes(self):
        digits = base64.b64decode(mauth.sign(KEY, "x"))
        assert len(digits) == 64
        assert digits == digits.lower()
        assert int(digits, 16)

    @pytest.mark.parametrize("key", ["é", "k" * 1024, " ", "21989 "])
    def test_the_key_is_its_utf8_bytes_as_given(self, key):
        assert mauth.sign(key, "1,2") == signer.mac(key, "1,2")
        assert mauth.sign(key, "1,2") != mauth.sign(KEY, "1,2")

    def test_a_key_of_the_environment_that_is_no_utf8_stands_for_its_bytes(self):
        raw = b"\xff\xfe key"
        digits = hmac.new(raw, b"1,2", hashlib.sha256).hexdigest()
        made = mauth.sign(raw.decode(errors="surrogateescape"), "1,2")
        assert made == base64.b64encode(digits.encode()).decode()

    @pytest.mark.parametrize(
        "signature", ["", "x", PLAIN[:-1], PLAIN + "=", PLAIN.lower(), "é", "\ud800", NAMED]
    )
    def test_a_wrong_signature_is_no_error_and_no_proof(self, signature):
        claim = Claim(V1, "s", "87428", "1406079112038", signature)
        assert not mauth.signed(claim, KEY, mauth.signed_text(claim))

    def test_what_the_support_signer_makes_is_accepted(self):
        for user, role in (("", ""), ("alice", "presenter"), ("Ælice", "viewer")):
            for comma in (",", ", "):
                claim = parse(signer.header("s", "key", user=user, role=role, comma=comma))
                assert mauth.signed(claim, "key", mauth.signed_text(claim))
                assert mauth.user_name(claim.username) == user


V2_CLAIM = Claim(V2, "5e0d0c0a0b0c0d0e0f101112", "7f3a9c0b1d2e4f56", "1406079112038", "-")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class TestSecondMethod:
    def test_the_text_is_ten_lines(self):
        text = mauth.signed_text_v2(V2_CLAIM, "GET", "/v1/rooms/", {"per_page": ["20"], "page": ["0"]}, b"")
        assert text == (
            "HMAC_SHA256_V2\n5e0d0c0a0b0c0d0e0f101112\n1406079112038\n7f3a9c0b1d2e4f56\n\n\n"
            f"GET\n/v1/rooms\npage=0&per_page=20\n{EMPTY}"
        )

    @pytest.mark.parametrize(
        ("path", "canonical"),
        [
            ("/services", "/services"),
            ("/services/", "/services"),
            ("/", "/"),
            ("/v1/rooms/a-b_c.d~e/streams", "/v1/rooms/a-b_c.d~e/streams"),
            ("/v1/rooms/a%7Eb", "/v1/rooms/a~b"),
            ("/v1/rooms/a b+c", "/v1/rooms/a%20b%2Bc"),
            ("/v1/rooms/é%c3%A9", "/v1/rooms/%C3%A9%C3%A9"),
            ("/v1/rooms/a%2Fb", "/v1/rooms/a%2Fb"),
        ],
    )
    def test_the_path_has_one_spelling(self, path, canonical):
        assert mauth.canonical_path(path) == canonical

    @pytest.mark.parametrize(
        ("query", "canonical"),
        [
            ({}, ""),
            ({"a": [""]}, "a="),
            ({"b": ["1"], "a": ["2", "1"]}, "a=1&a=2&b=1"),
            ({"a b": ["c&d=e"]}, "a%20b=c%26d%3De"),
            ({"é": ["~-._/"]}, "%C3%A9=~-._%2F"),
            ({"a": ["1"], "a-": ["0"]}, "a=1&a-=0"),
        ],
    )
    def test_the_query_has_one_spelling(self, query, canonical):
        assert mauth.canonical_query(query) == canonical

    def test_each_part_of_the_call_is_signed(self):
        def text(method="POST", path="/v1/rooms", query=(), body=b"{}", **claim):
            return signer.text_v2(
                **{"service": "s", "timestamp": "1", "cnonce": "2"} | claim,
                method=method,
                path=path,
                query=query,
                body=body,
            )

        texts = [
            text(),
            text("PUT"),
            text(path="/v1.1/rooms"),
            text(query=[("page", "1")]),
            text(body=b"{} "),
            text(service="t"),
            text(timestamp="2"),
            text(cnonce="3"),
            text(user="u"),
            text(role="u"),
        ]
        assert len(set(texts)) == len(texts)

    def test_what_the_support_signer_makes_is_accepted(self):
        query = [("page", "2"), ("q", "a b&c"), ("q", "~ä")]
        header = signer.header_v2(
            "s", "key", "POST", "/v1/rooms/a b/tokens", query, b'{"a":1}', user="dQ==", role="r"
        )
        claim = parse(header)
        text = mauth.signed_text_v2(
            claim, "POST", "/v1/rooms/a%20b/tokens/", {"q": ["~ä", "a b&c"], "page": ["2"]}, b'{"a":1}'
        )
        assert mauth.signed(claim, "key", text)
        assert not mauth.signed(claim, "key", mauth.signed_text(claim))

    def test_half_a_character_is_no_text(self):
        with pytest.raises(NotProven):
            mauth.signed_text_v2(V2_CLAIM, "GET", "/", {"a": ["\ud800"]}, b"")

    def test_a_signature_of_one_method_is_none_of_the_other(self):
        claim = Claim(V2, "s", "87428", "1406079112038", PLAIN)
        assert not mauth.signed(claim, KEY, mauth.signed_text_v2(claim, "GET", "/services", {}, b""))


class TestUserName:
    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            ("YWxpY2U=", "alice"),
            ("YWxpY2U", "alice"),
            ("xIdsaWNl", "ćlice"),
            ("w4Y=", "Æ"),
            ("alice", "alice"),
            ("test", "test"),
            ("YWxpY2U==", "YWxpY2U=="),
            ("YWxp-2U=", "YWxp-2U="),
            ("=", "="),
            ("Ælice", "Ælice"),
            ("a b", "a b"),
        ],
    )
    def test_d21_base64_of_utf8_is_decoded_and_anything_else_is_a_plain_word(self, sent, meant):
        assert mauth.user_name(sent) == meant

    @settings(max_examples=full(200, 2_000))
    @given(st.text(min_size=1, max_size=20))
    def test_what_was_encoded_comes_back(self, name):
        try:
            encoded = base64.b64encode(name.encode()).decode()
        except UnicodeEncodeError:
            return
        assert mauth.user_name(encoded) == name
        assert mauth.user_name(encoded.rstrip("=")) == name
