"""Secrets at rest: only the deployment's key opens them, and only in their own row."""

from collections import Counter
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from moto import mock_aws

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.owt import vault
from chalicelib.owt.vault import CannotOpen, seal, unseal
from chalicelib.store import keys
from infra.emulator import REGION

HERE, THERE = keys.owt_service("5e0d0c0a0b0c0d0e0f101112"), keys.owt_service("5e0d0c0a0b0c0d0e0f101113")
SECRET = "a secret of thirty-two characters"
TEXTS = ["s3cret", "", "21989", "schlüssel 🔑", "x" * 1024, "\udcff of the environment"]


@cache
def on_moto() -> Any:
    """A client of KMS; making one is slow."""
    return boto3.Session(region_name=REGION).client("kms")


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("OWT_KEY_SECRET", SECRET)
    settings.reset()


@pytest.fixture
def kms(monkeypatch):
    """A key in an emulated KMS, and no secret in the environment."""
    with mock_aws():
        client = on_moto()
        monkeypatch.setenv("OWT_KMS_KEY_ID", client.create_key()["KeyMetadata"]["KeyId"])
        settings.reset()
        yield client


@pytest.fixture
def calls(kms):
    """The calls of KMS that the vault makes, counted."""
    counted: Counter[str] = Counter()

    def hear(event_name: str, **_: object) -> None:
        counted[event_name.rpartition(".")[2]] += 1

    vault.kms().meta.events.register("before-call.kms", lambda model, **_: hear(model.name))
    return counted


class TestDerived:
    @pytest.mark.parametrize("text", TEXTS)
    def test_what_was_sealed_is_opened_in_its_row(self, secret, text):
        sealed = seal(text, HERE)
        assert unseal(sealed, HERE) == text
        assert sealed[:1] == vault.DERIVED

    def test_two_seals_of_one_text_differ_and_do_not_show_it(self, secret):
        first, second = seal("s3cret", HERE), seal("s3cret", HERE)
        assert first != second
        assert b"s3cret" not in first

    def test_copied_into_another_row_it_opens_no_more(self, secret):
        with pytest.raises(CannotOpen):
            unseal(seal("s3cret", HERE), THERE)

    def test_a_damaged_one_does_not_open_wherever_the_damage_is(self, secret):
        sealed = seal("s3cret", HERE)
        for at in range(len(sealed)):
            with pytest.raises(Unavailable):
                unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], HERE)
            with pytest.raises(Unavailable):
                unseal(sealed[:at], HERE)

    def test_it_is_one_key_for_all_processes_of_a_deployment_and_another_one_elsewhere(
        self, secret, monkeypatch
    ):
        sealed = seal("s3cret", HERE)
        settings.reset()
        assert unseal(sealed, HERE) == "s3cret"
        monkeypatch.setenv("OWT_KEY_SECRET", SECRET.upper())
        settings.reset()
        with pytest.raises(CannotOpen):
            unseal(sealed, HERE)

    def test_without_a_secret_nothing_is_sealed(self):
        with pytest.raises(CannotOpen):
            seal("s3cret", HERE)

    def test_what_an_earlier_release_sealed_opens(self, secret):
        sealed = bytes.fromhex("01000102030405060708090a0b0e937c2a1503c8806d61232f9bd8beaef88d5167a9d5")
        assert unseal(sealed, HERE) == "s3cret"

    def test_a_secret_never_stands_in_an_error_or_the_log(self, secret, caplog):
        with pytest.raises(CannotOpen) as refused:
            unseal(seal("s3cret", HERE), THERE)
        assert "s3cret" not in str(refused.value) + caplog.text
        assert SECRET not in str(refused.value) + caplog.text


class TestKms:
    @pytest.mark.parametrize("text", TEXTS)
    def test_what_was_sealed_is_opened_in_its_row(self, kms, text):
        sealed = seal(text, HERE)
        assert unseal(sealed, HERE) == text
        with pytest.raises(CannotOpen):
            unseal(sealed, THERE)
        assert sealed[:1] == vault.BY_KMS

    def test_a_data_key_is_made_once_and_decrypted_once_in_a_process(self, kms, calls):
        first = [seal(f"{number}", HERE) for number in range(5)]
        assert [unseal(sealed, HERE) for sealed in first] == list("01234")
        assert calls == {"GenerateDataKey": 1}

    def test_another_process_asks_kms_once_for_each_data_key(self, kms, monkeypatch):
        sealed = [seal("a", HERE), seal("b", HERE)]
        vault._data_keys.forget()
        asked = []
        call = vault._call

        def hear(operation: str, key_id: str, **request: Any) -> Any:
            asked.append(operation)
            return call(operation, key_id, **request)

        monkeypatch.setattr(vault, "_call", hear)
        assert [unseal(each, HERE) for each in sealed] == ["a", "b"]
        assert asked == ["decrypt"]

    def test_a_data_key_is_replaced_after_an_hour(self, kms, calls, monkeypatch):
        first, began = seal("a", HERE), clock.monotonic()
        monkeypatch.setattr(clock, "monotonic", lambda: began + vault.DATA_KEY_S + 1)
        second = seal("a", HERE)
        assert calls == {"GenerateDataKey": 2}
        assert [unseal(each, HERE) for each in (first, second)] == ["a", "a"]

    def test_data_keys_are_bound_to_their_use(self, kms):
        sealed = seal("s3cret", HERE)
        encrypted = sealed[3 : 3 + int.from_bytes(sealed[1:3], "big")]
        with pytest.raises(ClientError):
            kms.decrypt(CiphertextBlob=encrypted)
        assert kms.decrypt(CiphertextBlob=encrypted, EncryptionContext=vault.CONTEXT)["Plaintext"]

    def test_a_damaged_one_does_not_open_wherever_the_damage_is(self, kms):
        sealed = seal("s3cret", HERE)
        for at in (0, 1, 2, 3, 20, len(sealed) - 20, len(sealed) - 1):
            with pytest.raises(Unavailable):
                unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], HERE)

    def test_what_was_sealed_without_kms_opens_as_long_as_the_secret_is_there(self, secret, kms, monkeypatch):
        monkeypatch.delenv("OWT_KMS_KEY_ID")
        settings.reset()
        sealed = seal("s3cret", HERE)
        monkeypatch.setenv("OWT_KMS_KEY_ID", kms.create_key()["KeyMetadata"]["KeyId"])
        settings.reset()
        assert unseal(sealed, HERE) == "s3cret"
        assert seal("s3cret", HERE)[:1] == vault.BY_KMS

    def test_what_was_sealed_with_kms_does_not_open_without(self, secret, kms, monkeypatch):
        sealed = seal("s3cret", HERE)
        monkeypatch.delenv("OWT_KMS_KEY_ID")
        settings.reset()
        with pytest.raises(CannotOpen):
            unseal(sealed, HERE)

    def test_a_key_that_is_not_there_or_kms_that_does_not_answer_is_an_outage(self, kms, monkeypatch):
        monkeypatch.setenv("OWT_KMS_KEY_ID", "5e0d0c0a-0b0c-4d0e-8f10-111213141516")
        settings.reset()
        with pytest.raises(Unavailable, match="keys cannot be had"):
            seal("s3cret", HERE)

        def hang(**_: object) -> None:
            raise ConnectTimeoutError(endpoint_url="https://kms.example")

        monkeypatch.setattr(vault.kms(), "generate_data_key", hang)
        with pytest.raises(Unavailable, match="keys cannot be had"):
            seal("s3cret", HERE)


class TestTokenSecret:
    def test_it_is_the_same_in_every_process_and_not_the_vaults_key(self, secret):
        first = vault.token_secret()
        settings.reset()
        assert vault.token_secret() == first
        assert SECRET not in first
        assert len(first) == 64

    def test_one_that_is_set_is_taken_as_it_is(self, secret, monkeypatch):
        monkeypatch.setenv("OWT_TOKEN_SECRET", "another secret, of the portal's own")
        settings.reset()
        assert vault.token_secret() == "another secret, of the portal's own"
