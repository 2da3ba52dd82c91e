"""Whatever the command line signs, the service's own verifier takes, and takes for that alone."""

import time
from functools import cache
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chalicelib.jitsi import conference, principal
from chalicelib.keysets import StaticPem, StaticSecrets
from chalicelib.wire import bearer, hawk, mauth, wcs_hash
from chalicelib.wire.bearer import KeySource
from cli import http, jwts, signing
from cli.errors import Misused
from tests.support import hawk as hawk_client
from tests.support.counts import full
from tests.support.jwts import rsa_pair

EXAMPLES = settings(max_examples=full(40, 500))
RULES = conference.Rules(base="meet.local")

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
rooms = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
lives = st.integers(min_value=1, max_value=10**8)
bodies = st.one_of(st.none(), st.binary(max_size=200))
methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
segments = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
hosts = st.sampled_from(["127.0.0.1:8080", "Foyer.Example.com", "foyer.example.com:8443", "[::1]:80"])
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)


@st.composite
def addresses(draw: st.DrawFn, below: str = "") -> str:
    """Addresses, with a query or without."""
    path = "/".join(quote(each, safe="") for each in draw(st.lists(segments, min_size=1, max_size=3)))
    pairs = draw(st.lists(st.tuples(texts, st.text(st.characters(codec="utf-8"), max_size=20)), max_size=3))
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    scheme = draw(st.sampled_from(["http", "https"]))
    return http.url(f"{scheme}://{draw(hosts)}{below}/{path}" + (f"?{query}" if query else ""))


@cache
def trusting(key: str) -> KeySource:
    """The verifier's side of a key."""
    return StaticPem(rsa_pair().public_pem) if key == rsa_pair().private_pem else StaticSecrets(key)


def signed(claims: dict[str, Any], key: str, **options: str) -> bearer.Verified:
    """The claims as the service reads them off the token that is made of them."""
    try:
        trust = trusting(key)
    except bearer.BadKey:  # what looks like a public key is never a shared secret
        assume(False)
        raise
    token = jwts.sign(claims, key, **options)
    return bearer.verify(token, trust, (claims["iss"],), (claims["aud"],), now=time.time())


def person(user: dict[str, Any], room: str, issuer: str, audience: str, lives_s: int) -> dict[str, Any]:
    return jwts.person(
        room=room, issuer=issuer, audience=audience, sub="meet.local", lives_s=lives_s, user=user
    )


@given(keys, rooms, texts, texts, texts, lives, st.sampled_from(jwts.BY_SECRET))
@EXAMPLES
def test_a_visitors_token_with_a_secret(key, room, name, issuer, audience, lives_s, algorithm):
    claims = person({"role": "visitor", "name": name}, room, issuer, audience, lives_s)
    found = signed(claims, key, algorithm=algorithm)
    assert found.claims == claims
    who = principal.user(found.claims, "", False, ())
    principal.may_connect(who, RULES)
    assert (who.kind, who.role, who.moderator, who.room) == ("user", "visitor", False, room)


@given(rooms, texts, texts, lives, st.sampled_from(jwts.BY_KEY), texts)
@EXAMPLES
def test_a_moderators_token_with_a_key(room, issuer, audience, lives_s, algorithm, kid):
    claims = person({"moderator": True}, room, issuer, audience, lives_s)
    found = signed(claims, rsa_pair().private_pem, algorithm=algorithm, kid=kid)
    assert found.claims == claims
    who = principal.user(found.claims, "", False, ())
    assert (who.kind, who.moderator, who.role) == ("user", True, None)


@given(texts, texts, lives, st.one_of(st.just(""), rooms), st.sampled_from(jwts.BY_KEY), texts)
@EXAMPLES
def test_a_servers_token(issuer, audience, lives_s, room, algorithm, kid):
    claims = jwts.server(issuer=issuer, audience=audience, lives_s=lives_s, room=room)
    found = signed(claims, rsa_pair().private_pem, algorithm=algorithm, kid=kid)
    assert found.claims == claims
    assert principal.server(found.claims, "", False, ()).room == (room or None)
    assert "context" not in found.claims


@given(st.binary(min_size=32, max_size=32), methods, addresses(), bodies, st.one_of(st.just(""), printable))
@example(b"\0" * 32, "GET", "https://foyer.example.com", None, "")
@EXAMPLES
def test_a_hawk_header(session_token, method, url, body, ext):
    credentials = signing.derived(session_token.hex())
    ours = hawk_client.derive(session_token.hex())
    assert (credentials.id, credentials.key) == (ours.id, ours.key)
    if ext.translate({ord(char): None for char in '"\\'}) != ext:
        with pytest.raises(Misused):
            signing.hawk(credentials, method, url, body, ext=ext)
        return
    scheme, _, rest = signing.hawk(credentials, method, url, body, ext=ext).partition(" ")
    assert scheme == "Hawk"
    claim = hawk.parse(rest)
    parts = urlsplit(url)
    host, port = hawk.host_and_port(parts.netloc, parts.scheme)
    queries = list(hawk.queries(parse_qs(parts.query, keep_blank_values=True)))
    resources = [(parts.path or "/") + query for query in (f"?{parts.query}" * bool(parts.query), *queries)]
    assert hawk.prove(claim, credentials.key, method, resources, host, port)
    assert abs(int(claim.ts) - time.time()) < 5
    if body is None:
        assert claim.hash == ""
    else:
        assert hawk.same(claim.hash, hawk.payload_hash("application/json", body))
        assert not hawk.same(claim.hash, hawk.payload_hash("application/json", body + b"."))
    assert hawk.prove(claim, credentials.key, method, [resources[0] + "x"], host, port) is None


@given(printable, keys, st.one_of(st.none(), st.tuples(texts, printable)))
@EXAMPLES
def test_a_mauth_header_of_the_original(service, key, named):
    user, role = named or ("", "")
    url = "https://foyer.example.com/v1/rooms"
    try:
        header = signing.mauth(service, key, "GET", url, signature=signing.V1, user=user, role=role)
    except Misused:
        assert any(mark in value for value in (service, role) for mark in ',"') or any(
            value != value.strip() for value in (service, role)
        )
        return
    claim = mauth.parse(header)
    assert (claim.method, claim.service, claim.role) == (mauth.V1, service, role)
    assert mauth.user_name(claim.username) == user
    assert mauth.signed(claim, key, mauth.signed_text(claim))
    assert not mauth.signed(claim, key + "x", mauth.signed_text(claim))


@given(
    keys,
    methods,
    addresses("/prod/v1"),
    bodies,
    st.one_of(st.none(), st.tuples(texts, st.sampled_from(["presenter", "a role", "x=y"]))),
)
@EXAMPLES
def test_a_mauth_header_over_the_whole_call(key, method, url, body, named):
    user, role = named or ("", "")
    service = "5e0d0c0a0b0c0d0e0f101112"
    claim = mauth.parse(
        signing.mauth(
            service, key, method, url, body, user=user, role=role, base=f"{url.partition('/prod/')[0]}/prod"
        )
    )
    parts = urlsplit(url)
    path = parts.path.removeprefix("/prod")

    def text(path: str, body: bytes) -> str:
        query = parse_qs(parts.query, keep_blank_values=True)
        return mauth.signed_text_v2(claim, method, path, query, body)

    assert (claim.method, claim.service, mauth.user_name(claim.username)) == (mauth.V2, service, user)
    assert mauth.signed(claim, key, text(path, body or b""))
    assert not mauth.signed(claim, key, text(f"{path}/x", body or b""))
    assert not mauth.signed(claim, key, text(path, (body or b"") + b"."))


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.binary(max_size=500))
@EXAMPLES
def test_the_hash_of_a_hook(secret, body):
    found = wcs_hash.parse(signing.wcs(secret, body))
    assert wcs_hash.signed(found, ["another", secret], body)
    assert not wcs_hash.signed(found, [secret], body + b".")
    assert not wcs_hash.signed(found, [secret + "x"], body)


@pytest.mark.parametrize(
    ("url", "base", "path", "query"),
    [
        ("https://a/services/", "", "/services", ""),
        ("https://a/prod/v1/rooms?per_page=20&page=1", "", "/v1/rooms", "page=1&per_page=20"),
        ("https://a/v1/v1.1/rooms", "https://a/v1", "/v1.1/rooms", ""),
        (
            "https://a/v1.1/rooms/a%20b%7Ec?q=a+b%26c&q=~%c3%a4&p",
            "",
            "/v1.1/rooms/a%20b~c",
            "p=&q=a%20b%26c&q=~%C3%A4",
        ),
    ],
)
def test_path_and_query_are_signed_as_the_contract_shows_them(url, base, path, query):
    assert signing._below(url, base) == (path, query)
    assert unquote(path) in unquote(url)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: jwts.sign({}, "-----BEGIN RSA PRIVATE KEY-----\nx"), "no private key"),
        (lambda: jwts.sign({}, rsa_pair("short", 1024).private_pem), "1024 bits"),
        (lambda: jwts.sign({}, "a secret", algorithm="RS256"), "a secret signs with HS256"),
        (lambda: jwts.sign({}, rsa_pair().private_pem, algorithm="none"), "an RSA key signs with RS256"),
        (lambda: signing.derived("ab"), "64 hexadecimal digits"),
        (lambda: signing.mauth("a", "b", "GET", "https://a/v1", user="x"), "together"),
        (lambda: http.url("foyer.example.com"), "an address like"),
        (lambda: http.url("http://a:b/"), "not an address"),
    ],
)
def test_what_cannot_be_signed_is_refused_in_words(make, says):
    with pytest.raises(Misused, match=says):
        make()
