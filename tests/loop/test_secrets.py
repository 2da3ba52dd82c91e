"""What stands for secrets in the table: hashes nobody can make without `LOOP_SECRET`, and sealed keys."""

import pytest

from chalicelib import settings
from chalicelib.errors import Unavailable
from chalicelib.loop import secrets
from chalicelib.store.keys import Key

HERE, THERE = Key("lc1", "-"), Key("lc2", "-")


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("LOOP_SECRET", "a secret of thirty-two characters")
    settings.reset()


def test_a_hash_is_the_same_in_every_process_and_short():
    assert secrets.uid("id") == secrets.uid("id")
    assert len(secrets.uid("id")) == len(secrets.token_hash("id")) == 22
    assert secrets.uid("id") != secrets.uid("id2")


def test_each_use_has_a_hash_of_its_own():
    assert secrets.uid("x") != secrets.token_hash("x")


def test_another_secret_makes_other_hashes_and_opens_nothing(monkeypatch, caplog):
    before, sealed = secrets.uid("x"), secrets.seal(b"key", HERE)
    monkeypatch.setenv("LOOP_SECRET", "another secret of many characters")
    settings.reset()
    assert secrets.uid("x") != before
    with pytest.raises(secrets.CannotOpen):
        secrets.unseal(sealed, HERE)
    assert "key cannot be read" in caplog.text


def test_a_key_opens_in_its_own_row_alone():
    sealed = secrets.seal(b"key", HERE)
    assert secrets.unseal(sealed, HERE) == b"key"
    assert b"key" not in sealed
    assert secrets.seal(b"key", HERE) != sealed
    with pytest.raises(secrets.CannotOpen):
        secrets.unseal(sealed, THERE)


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 40])
def test_what_is_damaged_does_not_open(damage):
    with pytest.raises(secrets.CannotOpen):
        secrets.unseal(damage, HERE)


def test_without_a_secret_everything_is_unavailable(monkeypatch):
    monkeypatch.delenv("LOOP_SECRET")
    settings.reset()
    secrets.warm()
    for use in (secrets.uid, secrets.token_hash, lambda _: secrets.seal(b"", HERE)):
        with pytest.raises(Unavailable):
            use("x")
