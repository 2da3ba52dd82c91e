"""Bearer tokens: every rule of contract 6.1 and line 12 of its checklist."""

import json
import threading
from collections.abc import Iterable
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.errors import Unauthenticated
from chalicelib.keysets import KeySet, StaticPem, StaticSecrets
from chalicelib.wire import bearer
from chalicelib.wire.bearer import (
    BadKey,
    InvalidToken,
    Key,
    KeysUnavailable,
    Missing,
    NotBearer,
    Verified,
    parse_header,
    token_hash,
    verify,
)
from tests.support import jwts
from tests.support.counts import full

NOW = 1_800_000_000.0
SECRETS = StaticSecrets(jwts.SECRET)
PUBLIC = StaticPem(jwts.rsa_pair().public_pem)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    bearer.remembered.clear()


def check(token: str, source: Any = SECRETS, **options: Any) -> Verified:
    given = {"issuers": ["chat", "jitsi"], "audiences": ["jitsi"], "now": NOW, **options}
    return verify(token, source, given.pop("issuers"), given.pop("audiences"), **given)


def refused(token: str, source: Any = SECRETS, **options: Any) -> str:
    with pytest.raises(InvalidToken) as error:
        check(token, source, **options)
    assert str(error.value) == "The token is not accepted"
    assert token not in error.value.reason
    return error.value.reason


def user(**claims: Any) -> str:
    return jwts.sign(jwts.self_hosted_user(NOW, **claims))


class TestHeader:
    @pytest.mark.parametrize("value", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c ", " Bearer a.b.c"])
    def test_the_scheme_has_no_case_and_blanks_do_not_count(self, value):
        assert parse_header(value) == "a.b.c"

    @pytest.mark.parametrize("value", [None, "", " ", "Bearer", "Bearer ", "bearer  "])
    def test_an_empty_header_is_no_token_as_prosody_sends_it_without_a_key(self, value):
        with pytest.raises(Missing):
            parse_header(value)

    @pytest.mark.parametrize(
        "value",
        ["Basic YTpi", "a.b.c", "Bearer a b", "Bearer a,b", "Bearer ä", "Bearer\ta", "Bearer: a", "=a"],
    )
    def test_another_scheme_or_no_single_token_is_refused(self, value):
        with pytest.raises(NotBearer):
            parse_header(value)

    def test_all_of_it_is_a_matter_of_authentication(self):
        assert {Missing, NotBearer, InvalidToken} <= set(Unauthenticated.__subclasses__())


class TestKinds:
    """The four kinds of token in the field."""

    @pytest.mark.parametrize(
        ("claims", "kid"),
        [
            (jwts.jaas_user(NOW), jwts.JAAS_KID),
            (jwts.self_hosted_user(NOW), "other"),
            (jwts.prosody_server(NOW), jwts.SERVER_KID),
            (jwts.jigasi(NOW), jwts.SERVER_KID),
            (jwts.jigasi(NOW), None),
        ],
    )
    def test_an_rsa_token_of_each_kind_is_accepted(self, claims, kid):
        token = jwts.sign(claims, jwts.rsa_pair(), kid=kid)

        assert check(token, PUBLIC) == Verified(claims)

    def test_a_token_with_a_shared_secret_is_accepted(self):
        claims = jwts.self_hosted_user(NOW, moderator="true")

        assert check(jwts.sign(claims)) == Verified(claims)

    @pytest.mark.parametrize("bits", ["256", "384", "512"])
    def test_all_three_sizes_of_both_families_are_accepted(self, bits):
        assert check(jwts.sign(jwts.jigasi(NOW), alg=f"HS{bits}"))
        assert check(jwts.sign(jwts.jigasi(NOW), jwts.rsa_pair(), alg=f"RS{bits}"), PUBLIC)


class TestAlgorithms:
    """Pinned per key; the token's own word decides nothing."""

    def test_an_hs256_token_made_with_the_public_key_is_refused(self):
        pem = jwts.rsa_pair().public_pem
        token = jwts.sign(jwts.jaas_user(NOW), pem, alg="HS256")

        assert "HS256 key" in refused(token, PUBLIC)
        assert "HS256 key" in refused(token, StaticPem(pem))

    def test_a_careless_source_cannot_loosen_the_pin(self):
        class Careless:
            def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
                return [*PUBLIC.keys(kid, "RS256"), *SECRETS.keys(kid, "HS256")]

        pem = jwts.rsa_pair().public_pem
        assert refused(jwts.sign(jwts.jaas_user(NOW), pem, alg="HS256"), Careless()) == "signature is wrong"
        assert check(jwts.sign(jwts.jaas_user(NOW), jwts.rsa_pair()), Careless())

    @pytest.mark.parametrize(
        "alg", ["none", "None", "NONE", "nOnE", "", "HS1", "ES256", "PS256", "EdDSA", "hs256"]
    )
    @pytest.mark.parametrize("source", [SECRETS, PUBLIC])
    def test_none_and_every_other_algorithm_is_refused(self, alg, source):
        good = jwts.sign(jwts.jaas_user(NOW), alg="HS256", header={"alg": alg})
        header, payload, _ = good.split(".")

        assert refused(good, source) == "alg is not one that we accept"
        assert refused(f"{header}.{payload}.", source) == "not a signed compact JWT"

    @pytest.mark.parametrize("alg", [None, 5, ["HS256"], {}, True])
    def test_an_alg_that_is_no_text_is_refused(self, alg):
        assert refused(jwts.sign(jwts.jaas_user(NOW), header={"alg": alg}, alg="HS256")) == (
            "alg is not one that we accept"
        )

    def test_an_rsa_token_against_a_secret_is_refused(self):
        assert "RS256 key" in refused(jwts.sign(jwts.jaas_user(NOW), jwts.rsa_pair()), SECRETS)

    def test_the_hash_of_the_header_must_be_that_of_the_signature(self):
        assert refused(jwts.sign(jwts.jaas_user(NOW), alg="HS256", header={"alg": "HS512"})) == (
            "signature is wrong"
        )

    def test_a_key_pinned_to_one_algorithm_serves_no_other(self):
        pinned = Key.rsa(jwts.rsa_pair().private.public_key(), frozenset({"RS384"}))

        assert not pinned.signed("RS256", b"", b"")
        with pytest.raises(BadKey):
            Key.rsa(jwts.rsa_pair().private.public_key(), frozenset({"PS256"}))

    @pytest.mark.parametrize(
        "secret",
        ["", jwts.rsa_pair().public_pem, jwts.rsa_pair().private_pem, jwts.rsa_pair().certificate_pem],
    )
    def test_no_key_of_the_other_kind_is_a_secret(self, secret):
        with pytest.raises(BadKey):
            StaticSecrets(secret)

    def test_small_and_private_keys_are_no_public_keys(self):
        with pytest.raises(BadKey, match="2048"):
            Key.rsa(jwts.rsa_pair("small", 1024).private.public_key())
        with pytest.raises(BadKey):
            Key.rsa(jwts.rsa_pair().private)

    def test_a_key_does_not_show_itself(self):
        assert jwts.SECRET not in repr(Key.secret(jwts.SECRET))


class TestSignature:
    def test_another_key_is_refused(self):
        assert refused(user(), StaticSecrets("x" * 64)) == "signature is wrong"
        assert refused(jwts.sign(jwts.jigasi(NOW), jwts.rsa_pair("other")), PUBLIC) == "signature is wrong"

    def test_user_keys_and_server_keys_are_separate(self):
        servers = StaticPem(jwts.rsa_pair("server").public_pem)
        token = jwts.sign(jwts.jaas_user(NOW), jwts.rsa_pair())

        assert check(token, PUBLIC)
        assert refused(token, servers) == "signature is wrong"

    def test_any_key_of_the_set_may_have_signed(self):
        keys = KeySet([StaticSecrets("x" * 64, jwts.SECRET), PUBLIC])

        assert check(user(), keys)
        assert check(jwts.sign(jwts.jigasi(NOW), jwts.rsa_pair()), keys)

    def test_no_key_at_all_is_no_fault_of_the_keys(self):
        assert refused(user(), KeySet([])) == "no HS256 key is known for this kid"

    def test_missing_keys_are_told_apart_from_a_bad_token(self):
        class Away:
            def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
                raise KeysUnavailable("away")

        with pytest.raises(KeysUnavailable):
            check(user(), Away())
        assert check(user(), KeySet([Away(), SECRETS]))
        with pytest.raises(KeysUnavailable):
            check(user(), KeySet([Away(), StaticSecrets("x" * 64)]))

    def test_the_token_has_one_spelling(self):
        """Or a denied token could come back under another hash."""
        token = user()
        header, payload, signature = token.split(".")
        last = signature[-1]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        neighbours = [
            letter for letter in alphabet if alphabet.index(letter) >> 2 == alphabet.index(last) >> 2
        ]
        assert last in neighbours
        assert len(neighbours) == 4

        assert check(token)
        for letter in set(neighbours) - {last}:
            assert refused(f"{header}.{payload}.{signature[:-1]}{letter}") == "base64url is malformed"
        for other in (token + "=", f"{header}=.{payload}.{signature}", token + "\n", f" {token}"):
            assert refused(other) == "not a signed compact JWT"

    @pytest.mark.parametrize(
        "token",
        ["", ".", "..", "a.b", "a..b", "a.b.c.d", "a.b.c.d.e", "é.b.c", "a b.c.d", "a+b.c.d", "x" * 20_000],
    )
    def test_what_is_no_compact_jws_is_refused(self, token):
        with pytest.raises(InvalidToken):
            check(token)

    @pytest.mark.parametrize("segment", ["A", "AAAAA", "AB", "AAB"])
    def test_base64url_of_an_impossible_length_or_with_stray_bits_is_refused(self, segment):
        header, _, signature = user().split(".")

        assert refused(f"{header}.{segment}.{signature}") == "base64url is malformed"

    @pytest.mark.parametrize(
        "header",
        [
            b"[]",
            b"1",
            b"\xff",
            b"{",
            b'{"alg":"none","alg":"HS256"}',
            b'{"alg":"HS256","kid":5}',
            b'{"alg":"HS256","kid":"' + b"k" * 1025 + b'"}',
            b'{"alg":"HS256","crit":["exp"],"exp":1}',
            b'{"alg":"HS256","crit":[]}',
            b'{"alg":"HS256","b64":true}',
            b'{"alg":"HS256","x":NaN}',
        ],
    )
    def test_a_header_that_we_cannot_honour_in_full_is_refused(self, header):
        payload = json.dumps(jwts.jaas_user(NOW))

        refused(jwts.sign_raw(header, payload, jwts.SECRET, "HS256"))

    @pytest.mark.parametrize(
        "payload",
        ["[]", "1", '"x"', "", "{", '{"exp":1e999}', '{"exp":NaN}', '{"exp":1,"exp":2000000000}', "\ufeff{}"],
    )
    def test_a_payload_with_more_than_one_meaning_is_refused(self, payload):
        refused(jwts.sign(payload))

    def test_a_kid_may_hold_any_text(self):
        for kid in ("", "vpaas-magic-cookie-1/2", "../../etc/passwd", "ä 😀", "k" * 1024):
            assert check(jwts.sign(jwts.jigasi(NOW), jwts.rsa_pair(), kid=kid), PUBLIC)


class TestTimes:
    """`exp` required, `nbf` honoured, 60 s of leeway, `iat` not looked at."""

    @pytest.mark.parametrize(("ahead", "accepted"), [(-60, False), (-59, True), (0, True), (3600, True)])
    def test_exp_with_leeway(self, ahead, accepted):
        token = user(exp=NOW + ahead)
        if accepted:
            assert check(token) == Verified(jwts.self_hosted_user(NOW, exp=NOW + ahead), 0.0)
            assert not check(token).expired
        else:
            assert refused(token) == "exp has passed"

    def test_exp_is_required(self):
        assert refused(user(exp=None)) == "exp is missing"
        assert refused(user(exp=None), grace_s=1e9) == "exp is missing"

    @pytest.mark.parametrize(("ahead", "accepted"), [(-5, True), (30, True), (60, True), (61, False)])
    def test_nbf_with_leeway(self, ahead, accepted):
        token = user(nbf=int(NOW) + ahead)
        if accepted:
            assert check(token)
        else:
            assert refused(token) == "nbf is in the future"
            assert check(token, leeway=61)

    def test_iat_is_neither_required_nor_looked_at(self):
        assert check(user(iat=None))
        assert check(user(iat=int(NOW) + 10_000))
        assert check(user(iat="yesterday"))

    def test_times_may_have_fractions(self):
        assert check(user(exp=NOW + 0.5, nbf=NOW - 0.5))

    @pytest.mark.parametrize("claim", ["exp", "nbf"])
    @pytest.mark.parametrize("value", [True, "1900000000", [1900000000], {}, 10**400, -(10**400)])
    def test_a_time_that_is_no_number_is_refused(self, claim, value):
        assert refused(user(**{claim: value})).startswith(claim)

    @pytest.mark.parametrize(
        ("age", "expired_for"), [(0, 0), (59, 0), (60, 60), (3600, 3600), (43200, 43200), (43259, 43259)]
    )
    def test_grace_lets_an_expired_token_pass_and_says_so(self, age, expired_for):
        verified = check(user(exp=NOW - age), grace_s=43200)

        assert verified.expired_for == expired_for
        assert verified.expired == (expired_for > 0)

    def test_grace_ends_and_forgives_nothing_else(self):
        assert refused(user(exp=NOW - 43260), grace_s=43200) == "exp has passed"
        assert refused(user(exp=NOW - 100, iss="other"), grace_s=43200) == "iss is not accepted"
        assert refused(user(nbf=NOW + 100), grace_s=43200) == "nbf is in the future"
        assert refused(user(exp=NOW - 100), StaticSecrets("x" * 64), grace_s=43200) == "signature is wrong"


class TestIssuerAndAudience:
    @pytest.mark.parametrize("accepted", [["chat"], ["x", "chat"], ["*"], ["x", "*"]])
    def test_an_accepted_issuer_or_any(self, accepted):
        assert check(user(), issuers=accepted)

    @pytest.mark.parametrize("accepted", [[], ["Chat"], ["chat "], ["cha", "chats"], ["c*"]])
    def test_any_other_issuer_is_refused(self, accepted):
        assert refused(user(), issuers=accepted) == "iss is not accepted"

    @pytest.mark.parametrize("issuer", [None, 5, ["chat"], {"chat": 1}])
    @pytest.mark.parametrize("accepted", [["chat"], ["*"]])
    def test_the_issuer_must_be_there_even_if_any_will_do(self, issuer, accepted):
        assert refused(user(iss=issuer), issuers=accepted) == "iss is missing or malformed"

    @pytest.mark.parametrize("audience", ["jitsi", ["jitsi"], ["x", "jitsi"]])
    @pytest.mark.parametrize("accepted", [["jitsi"], ["y", "jitsi"], ["*"]])
    def test_an_audience_may_be_text_or_a_list(self, audience, accepted):
        assert check(user(aud=audience), audiences=accepted)

    @pytest.mark.parametrize("audience", ["Jitsi", "*", ["x", "y"], ["*"], "", [""]])
    def test_any_other_audience_is_refused(self, audience):
        assert refused(user(aud=audience)) == "aud is not accepted"
        assert check(user(aud=audience), audiences=["*"])

    @pytest.mark.parametrize("audience", [None, [], 5, {"jitsi": 1}, ["jitsi", 5], [["jitsi"]]])
    @pytest.mark.parametrize("accepted", [["jitsi"], ["*"]])
    def test_the_audience_must_be_there_even_if_any_will_do(self, audience, accepted):
        assert refused(user(aud=audience), audiences=accepted) == "aud is missing or malformed"


class TestRemembered:
    """A proved signature is not proved again; everything else is."""

    def test_times_issuer_and_audience_are_checked_each_time(self):
        token = user()

        assert check(token)
        assert refused(token, now=NOW + 3660) == "exp has passed"
        assert check(token, now=NOW + 3660, grace_s=60).expired
        assert refused(token, issuers=["x"]) == "iss is not accepted"
        assert refused(token, audiences=["x"]) == "aud is not accepted"
        assert check(token)

    def test_the_key_is_not_asked_again(self, monkeypatch):
        token = jwts.sign(jwts.jigasi(NOW), jwts.rsa_pair())
        first = check(token, PUBLIC)
        monkeypatch.setattr(Key, "signed", lambda *_: pytest.fail("proved again"))

        second = check(token, PUBLIC)

        assert second == first
        assert second.claims is not first.claims

    def test_a_key_that_is_gone_or_was_replaced_proves_nothing(self):
        token = user()
        assert check(token)

        assert "no HS256 key" in refused(token, KeySet([]))
        assert refused(token, StaticSecrets("x" * 64)) == "signature is wrong"
        assert check(token, StaticSecrets(jwts.SECRET))

    def test_a_bad_signature_is_not_remembered(self):
        token = user()

        refused(token, StaticSecrets("x" * 64))

        assert bearer.remembered.payload(b"", SECRETS) is None
        assert check(token)
        assert refused(token, StaticSecrets("x" * 64)) == "signature is wrong"

    def test_the_longest_unused_is_forgotten_first(self):
        memory = bearer._Remembered(2)
        (key,) = SECRETS.keys(None, "HS256")
        for name in (b"a", b"b"):
            memory.add(name, None, "HS256", key, name)
        assert memory.payload(b"a", SECRETS) == b"a"

        memory.add(b"c", None, "HS256", key, b"c")

        assert [memory.payload(name, SECRETS) for name in (b"a", b"b", b"c")] == [b"a", None, b"c"]

    def test_threads_share_it(self):
        tokens = [user(room=f"room{number}") for number in range(20)]
        failures: list[Exception] = []

        def run() -> None:
            try:
                for token in tokens * 5:
                    assert check(token).claims["iss"] == "chat"
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []


def test_a_tokens_hash_is_short_url_safe_and_not_the_token():
    assert token_hash("a.b.c") == "hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg"


GOOD = jwts.sign(jwts.self_hosted_user(NOW))
GOOD_RSA = jwts.sign(jwts.jigasi(NOW), jwts.rsa_pair(), kid="k")


@settings(max_examples=full(500, 5_000))
@given(
    st.sampled_from([GOOD, GOOD_RSA]),
    st.integers(0, 2000),
    st.integers(0, 3),
    st.text(st.sampled_from("ABCyz019-_.= =é"), max_size=3),
)
def test_no_change_of_a_token_is_accepted_and_nothing_but_its_own_error_is_raised(token, at, cut, insert):
    at %= len(token) + 1
    changed = token[:at] + insert + token[at + cut :]
    if changed == token:
        return

    with pytest.raises(InvalidToken):
        check(changed, KeySet([SECRETS, PUBLIC]))


@settings(max_examples=full(200, 2_000))
@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iss", "aud", "sub", "room", "context"]),
        st.none() | st.integers(-5, 3_000_000_000) | st.text(max_size=4) | st.lists(st.text(max_size=3)),
    )
)
def test_what_we_accept_pyjwt_accepts_too(claims):
    token = jwts.sign({**jwts.self_hosted_user(NOW), **claims})
    try:
        verified = check(token, issuers=["*"], audiences=["*"])
    except InvalidToken:
        return

    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_aud": False, "verify_sub": False}
    assert jwt.decode(token, jwts.SECRET, ["HS256"], options=options) == verified.claims
