"""A key that takes another's place: while both are good nobody is refused, and the former one can go then."""

import io
from collections.abc import Callable

import boto3
import pytest
from moto import mock_aws

from chalicelib import settings
from chalicelib.owt import vault
from chalicelib.owt.vault import seal, unseal
from chalicelib.store import keys
from infra import rekey as rekeying
from infra import reseal
from infra.credentials import Credentials
from infra.emulator import REGION
from tests.conftest import Stack
from tests.loop import api as loop
from tests.media.api import redeem, token
from tests.owt.api import Api, ok, refusal

FORMER, NOW = "the former secret, in its 32 characters", "the secret of now, in its 32 characters"
Change = Callable[..., None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Be a process that was started with these settings."""

    def change(**values: str | None) -> None:
        for name, value in values.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        settings.reset()

    return change


def steps(given: Change, name: str, former: str = FORMER, now: str = NOW) -> Callable[[int], None]:
    """The four states of a rotation: former; former and now; now and former; now."""

    def step(number: int) -> None:
        first, also = [(former, None), (former, now), (now, former), (now, None)][number]
        given(**{name: first, f"{name}_ALSO": also})

    return step


def test_owners_keep_their_rooms_through_a_rotation(stack: Stack, given: Change):
    step = steps(given, "LOOP_SECRET")
    step(0)
    owner = loop.register()
    room = owner.room()
    for number in (0, 1, 2, 1, 2, 3, 3):
        step(number)
        assert [each["roomToken"] for each in loop.ok(owner.get("/rooms"))] == [room], number
        assert loop.ok(owner.join(room))["sessionToken"]
    again = steps(given, "LOOP_SECRET", NOW, "a third secret, in its 32 characters....")
    for number in (1, 2, 3):
        again(number)
        assert [each["roomToken"] for each in loop.ok(owner.get("/rooms"))] == [room], number


def test_credentials_of_a_process_that_is_ahead_are_good_for_one_that_is_not(stack: Stack, given: Change):
    step = steps(given, "LOOP_SECRET")
    step(2)
    owner = loop.register()
    room = owner.room()
    for number in (1, 2, 3):
        step(number)
        assert [each["roomToken"] for each in loop.ok(owner.get("/rooms"))] == [room]


def test_an_account_that_was_deleted_stays_so(stack: Stack, given: Change):
    step = steps(given, "LOOP_SECRET")
    step(0)
    owner = loop.register()
    step(2)
    loop.ok(owner.get("/rooms"))
    step(3)
    assert owner.delete("/account").status == 204
    for number in (3, 2, 1, 0):
        step(number)
        assert owner.get("/rooms").status == 401, number


def test_credentials_that_nobody_used_meanwhile_go_with_their_secret(stack: Stack, given: Change):
    step = steps(given, "LOOP_SECRET")
    step(0)
    owner = loop.register()
    step(3)
    assert owner.get("/rooms").status == 401


def test_guests_stay_in_their_rooms_while_both_secrets_are_good(stack: Stack, given: Change):
    step = steps(given, "LOOP_SECRET")
    step(0)
    room = loop.register().room()
    early = loop.GuestCaller(loop.ok(loop.Caller().join(room))["sessionToken"])
    step(2)
    late = loop.GuestCaller(loop.ok(loop.Caller().join(room))["sessionToken"])
    for number in (1, 2, 1):
        step(number)
        for guest in (early, late):
            loop.ok(guest.act(room, "refresh"))
            loop.ok(guest.get(f"/rooms/{room}"))
    for guest in (early, late):
        assert guest.act(room, "leave").status == 204
        assert guest.act(room, "refresh").status == 401


def test_both_keys_of_the_super_service_are_good(stack: Stack, given: Change, credentials: Credentials):
    former, now = (Api(credentials.super_service_id, key) for key in (FORMER, NOW))
    step = steps(given, "OWT_SUPER_SERVICE_KEY")
    good = [(True, False), (True, True), (True, True), (False, True)]
    for number, (first, second) in enumerate(good):
        step(number)
        assert (former.get("/services").status == 200, now.get("/services").status == 200) == (first, second)


def test_what_is_encrypted_at_rest_moves_to_the_key_of_now(
    stack: Stack, given: Change, credentials: Credentials, capsys
):
    step = steps(given, "OWT_KEY_SECRET")
    step(0)
    boss = Api(credentials.super_service_id, credentials.super_service_key)
    acme = Api(ok(boss.post("/services", {"name": "acme", "key": "s3cret"}))["_id"], "s3cret")
    sip = {"sipServer": "sip.example", "username": "u", "password": "p4ss"}
    room = acme.room(sip=sip)
    for number in (0, 1, 2):
        step(number)
        assert ok(acme.get(f"/rooms/{room}"))["sip"] == sip
    assert reseal.main() == 0
    assert capsys.readouterr().out == "encrypted anew: 2\n"
    for number in (1, 2, 3):
        step(number)
        assert ok(acme.get(f"/rooms/{room}"))["sip"] == sip
    shown = {each["_id"]: each["key"] for each in ok(boss.get("/services"))}[acme.service]
    assert shown == ok(boss.get(f"/services/{acme.service}"))["key"]


def test_a_service_gets_another_key_and_then_loses_the_former_one(
    stack: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, capsys
):
    boss = Api(credentials.super_service_id, credentials.super_service_key)
    made = ok(boss.post("/services", {"name": "acme", "key": FORMER}))["_id"]
    former, now = Api(made, FORMER), Api(made, NOW)

    def rekey(*arguments: str, key: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{key}\n"))
        status = rekeying.main([made, *arguments])
        settings.reset()  # a minute later
        return status

    def good() -> tuple[bool, bool]:
        return former.get("/rooms").status == 200, now.get("/rooms").status == 200

    assert rekey("--finish") == 1
    assert good() == (True, False)
    assert rekey(key=NOW) == 0
    assert good() == (True, True)
    assert rekey(key="a third one") == 1
    assert reseal.main() == 0
    settings.reset()
    assert good() == (True, True)
    assert rekey("--finish") == 0
    assert good() == (False, True)
    shown = {each["_id"]: each["key"] for each in ok(boss.get("/services"))}[made]
    assert shown == ok(boss.get(f"/services/{made}"))["key"]
    told = capsys.readouterr()
    assert NOW not in told.out + told.err
    assert "it has two already" in told.err


@pytest.mark.parametrize("name", ["OWT_TOKEN_SECRET", "OWT_KEY_SECRET"])
def test_a_token_is_good_whichever_secret_signed_it(
    stack: Stack, given: Change, credentials: Credentials, name: str
):
    step = steps(given, name)
    step(1)
    boss = Api(credentials.super_service_id, credentials.super_service_key)
    room = boss.room()
    early = [token(boss, room) for _ in range(3)]
    step(2)
    late = [token(boss, room) for _ in range(2)]
    for number in (2, 1):
        step(number)
        ok(redeem(boss, early.pop()))
        ok(redeem(boss, late.pop()))
    step(3)
    assert refusal(redeem(boss, early.pop())) == (401, 1101)


def test_what_was_sealed_under_either_key_of_kms_opens(given: Change):
    with mock_aws():
        client = boto3.client("kms", region_name=REGION)
        former, now = (client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        where = keys.owt_service("5e0d0c0a0b0c0d0e0f101112")
        step = steps(given, "OWT_KMS_KEY_ID", former, now)
        step(1)
        early = seal("early", where)
        step(2)
        late = seal("late", where)
        for number in (1, 2):
            step(number)
            assert (unseal(early, where), unseal(late, where)) == ("early", "late")
        step(3)
        assert unseal(late, where) == "late"
        assert late[:1] == vault.BY_KMS
