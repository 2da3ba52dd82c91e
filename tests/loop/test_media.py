"""Sessions and tokens of the media platform: the vendor's shapes, its cloud's answers, and its silence."""

import base64
import hmac
import time
from urllib.parse import parse_qs

import jwt
import pytest

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.loop import media
from chalicelib.outbox.outgoing import Limits
from chalicelib.store import table as tables
from tests.support import receiver
from tests.support.receiver import answering

KEY, SECRET = "46000001", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def account(monkeypatch):
    monkeypatch.setenv("LOOP_MEDIA_KEY", KEY)
    monkeypatch.setenv("LOOP_MEDIA_SECRET", SECRET)
    settings.reset()


@pytest.fixture
def cloud(monkeypatch):
    """The vendor's cloud."""
    with receiver.receiving() as running:
        monkeypatch.setenv("LOOP_MEDIA_PROVIDER", "opentok")
        monkeypatch.setenv("LOOP_MEDIA_API_URL", running.url)
        settings.reset()
        yield running


def opened(token):
    """The account, the signature, the signed text and its fields, read as the vendor reads them."""
    assert token.startswith("T1==")
    head, _, data = base64.b64decode(token[4:], validate=True).decode().partition(":")
    outer = {name: values[0] for name, values in parse_qs(head, strict_parsing=True).items()}
    fields = {name: values[0] for name, values in parse_qs(data, strict_parsing=True).items()}
    return outer["partner_id"], outer["sig"], data, fields


def parts(session_id):
    """What an id of the vendor's shape says."""
    assert session_id.startswith("2_")
    text = session_id[2:]
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_").decode().split("~")


# Tokens


def test_a_token_is_signed_over_the_very_text_that_it_carries(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: 1_700_000_000.9)
    monkeypatch.setattr("secrets.randbits", lambda bits: 2 ** (bits - 1))
    data = (
        "session_id=2_MX40NjAwMDAwMX5-&create_time=1700000000"
        "&nonce=170141183460469231731687303715884105728&role=moderator&expire_time=1700086400"
    )
    token = media.token("2_MX40NjAwMDAwMX5-", media.MODERATOR, "default")
    partner, found, text, _ = opened(token)
    signature = hmac.new(SECRET.encode(), data.encode(), "sha1").hexdigest()
    assert (partner, found, text) == (KEY, signature, data)
    assert token == "T1==" + base64.b64encode(f"partner_id={KEY}&sig={signature}:{data}".encode()).decode()


def test_a_token_is_signed_as_the_vendors_library_does():
    """The signature is that of opentok 3.15.0, `generate_token(use_jwt=False)`."""
    data = (
        "session_id=2_MX40NjAwMDAwMX5-MTcwMDAwMDAwMDAwMH5hYmN-&create_time=1700000000"
        "&expire_time=1700086400&role=publisher&nonce=123456&initial_layout_class_list="
    )
    partner, signature, text, _ = opened(media._signed(media.Account(KEY, SECRET), data))
    assert (partner, text) == (KEY, data)
    assert signature == "4c0f549e6c1e905e6713b726bbe37371ac6cc9a2"


@pytest.mark.parametrize("role", [media.MODERATOR, media.PUBLISHER])
def test_a_token_names_session_role_and_times(monkeypatch, role):
    monkeypatch.setattr(clock, "now", lambda: 1_700_000_000.9)
    _, _, _, fields = opened(media.token("2_a~b&c=d", role, "default"))
    assert fields["session_id"] == "2_a~b&c=d"
    assert fields["role"] == role
    assert (fields["create_time"], fields["expire_time"]) == ("1700000000", "1700086400")


def test_no_two_tokens_are_equal_and_none_can_be_guessed_or_breaks_basic():
    made = [media.token("2_a", media.PUBLISHER, "default") for _ in range(200)]
    assert len(set(made)) == 200
    assert not any(":" in token for token in made)
    nonces = [int(opened(token)[3]["nonce"]) for token in made]
    assert max(nonces).bit_length() in (127, 128)


# Sessions made here


def test_a_session_made_here_has_the_vendors_shape(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: 1_700_000_000.125)
    made = media.new_session("default")
    assert made.api_key == KEY
    one, key, empty, milliseconds, random, end = parts(made.id)
    assert (one, key, empty, milliseconds, end) == ("1", KEY, "", "1700000000125", "")
    assert len(random) >= 22
    assert media.new_session("default").id != made.id


# Channels


def test_a_channel_has_an_account_of_its_own_and_an_unknown_one_the_usual(monkeypatch):
    monkeypatch.setenv("LOOP_MEDIA_CHANNELS", f"beta=47:{SECRET[::-1]},nightly=48:a:b=c,")
    settings.reset()
    assert [media.api_key(each) for each in ("default", "beta", "nightly", "other", "")] == [
        KEY,
        "47",
        "48",
        KEY,
        KEY,
    ]
    made = media.new_session("beta")
    assert (made.api_key, parts(made.id)[1]) == ("47", "47")
    for channel, secret in (("beta", SECRET[::-1]), ("nightly", "a:b=c"), ("other", SECRET)):
        partner, signature, data, _ = opened(media.token(made.id, media.PUBLISHER, channel))
        assert partner == media.api_key(channel)
        assert signature == hmac.new(secret.encode(), data.encode(), "sha1").hexdigest()


# The vendor's cloud


def test_the_cloud_is_asked_as_the_vendor_says(cloud):
    cloud.usual = answering(200, b'[{"session_id": "2_MX40fg", "project_id": "46000001"}]')
    assert media.new_session("default") == media.Session(KEY, "2_MX40fg")
    (request,) = cloud.requests
    assert (request.method, request.path) == ("POST", "/session/create")
    assert request.form == {"p2p.preference": ["enabled"]}
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    claims = jwt.decode(request.headers["X-OPENTOK-AUTH"], SECRET, algorithms=["HS256"])
    assert (claims["iss"], claims["ist"]) == (KEY, "project")
    assert claims["exp"] - claims["iat"] == 180
    assert SECRET not in str(request)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"session_id": "2_MX40fg"}]',
        b'{"session_id": "2_MX40fg"}',
        b'<?xml version="1.0"?><sessions><Session><session_id>2_MX40fg</session_id></Session></sessions>',
    ],
)
def test_the_clouds_answer_may_be_json_or_xml(cloud, body):
    cloud.usual = answering(200, body)
    assert media.new_session("default").id == "2_MX40fg"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"[1]",
        b"{",
        b'{"session_id": 1}',
        b'{"session_id": ""}',
        b'{"session_id": "a b"}',
        b'{"session_id": "' + b"a" * 2000 + b'"}',
    ],
)
def test_an_answer_without_a_session_is_none(cloud, body):
    cloud.usual = answering(200, body)
    with pytest.raises(Unavailable):
        media.new_session("default")
    assert len(cloud.requests) == 3


def test_a_cloud_in_trouble_is_asked_three_times(cloud):
    cloud.behaviours = [answering(503), answering(500)]
    cloud.usual = answering(200, b'[{"session_id": "2_MX40fg"}]')
    assert media.new_session("default").id == "2_MX40fg"
    assert len(cloud.requests) == 3
    proofs = {request.headers["X-OPENTOK-AUTH"] for request in cloud.requests}
    assert len(proofs) == 3
    cloud.requests.clear()
    cloud.usual = answering(500)
    with pytest.raises(Unavailable):
        media.new_session("default")
    assert len(cloud.requests) == 3


def test_a_cloud_that_knows_the_account_not_is_asked_once(cloud):
    cloud.usual = answering(403)
    with pytest.raises(Unavailable):
        media.new_session("default")
    assert len(cloud.requests) == 1


def test_a_silent_cloud_is_waited_for_only_so_long(cloud, monkeypatch):
    monkeypatch.setattr(media, "LIMITS", Limits(within_s=0.2, answer=1000, private=True))
    cloud.usual = lambda handler: time.sleep(1)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        media.new_session("default")
    assert time.monotonic() - began < 2


def test_waiting_for_the_cloud_takes_nothing_from_the_budget_of_storage(cloud):
    def slow(handler):
        time.sleep(0.3)
        answering(200, b'[{"session_id": "2_MX40fg"}]')(handler)

    cloud.usual = slow
    with tables.budget(5):
        media.new_session("default")
        left = tables.remaining()
    assert left is not None
    assert left > 4.9
    assert tables.remaining() is None


def test_the_account_of_the_cloud_is_in_no_log_line(cloud, caplog):
    cloud.usual = answering(403)
    with pytest.raises(Unavailable):
        media.new_session("default")
    assert "no media session, try 1: status 403" in caplog.text
    assert SECRET not in caplog.text
