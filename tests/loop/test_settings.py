"""The settings of Loop (contract 12): their defaults, and that what cannot work stops the start."""

import pytest

from chalicelib.loop.settings import LoopSettings
from chalicelib.settings import BadSetting, load

SECRET = "a secret of thirty-two characters"


def of(**environ: str) -> LoopSettings:
    return load(LoopSettings, "LOOP_", environ)


def test_the_defaults_are_the_contracts():
    found = of()
    assert (found.max_size, found.room_name_max, found.room_owner_max) == (5, 100, 255)
    assert (found.room_ttl_hours, found.participant_ttl, found.deleted_ttl) == (1344, 300, 1620)
    assert (found.credential_ttl, found.hawk_skew, found.hawk_nonce_check) == (2592000, 60, True)
    assert (found.hawk_path_prefixes, found.status_states) == ((), "strict")
    assert (found.allowed_origins, found.media_provider) == (("*",), "static")
    assert (found.push, found.push_allow_private) == (False, False)
    assert found.secret == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LOOP_SECRET", "x" * 31),
        *(("LOOP_ROOM_URL", bad) for bad in ("", "https://hello.example/", "https://hello.example/#{token}")),
        *(("LOOP_MAX_SIZE", bad) for bad in ("0", "-1", "101", "x", "1.5")),
        *((f"LOOP_{name}", "0") for name in ("ROOM_NAME_MAX", "ROOM_OWNER_MAX", "ROOM_TTL_HOURS")),
        *((f"LOOP_{name}", "0") for name in ("PARTICIPANT_TTL", "DELETED_TTL", "CREDENTIAL_TTL")),
        *((f"LOOP_{name}", "0") for name in ("HAWK_SKEW",)),
        ("LOOP_HAWK_NONCE_CHECK", "perhaps"),
        *(("LOOP_HAWK_PATH_PREFIXES", bad) for bad in ("x", "/", "/a/", "/a?b", "/a,b")),
        *(("LOOP_HAWK_HOSTS", bad) for bad in ("https://a.example", "a.example/b", "a:b", "a b")),
        ("LOOP_STATUS_STATES", "some"),
        *(("LOOP_ALLOWED_ORIGINS", bad) for bad in ("hello.example", "https://hello.example/")),
        ("LOOP_MEDIA_PROVIDER", "other"),
        *((f"LOOP_MEDIA_{name}", "") for name in ("KEY", "SECRET")),
        *(("LOOP_MEDIA_CHANNELS", bad) for bad in ("x", "x=y", "=k:s", "x=:s", "x=k:")),
        ("LOOP_MEDIA_API_URL", "api.opentok.com"),
        *(("LOOP_PUSH_SERVERS", bad) for bad in ("", "https://push.example")),
        ("LOOP_NOTHING", "1"),
    ],
)
def test_what_cannot_work_is_refused_by_name(name, text):
    with pytest.raises(BadSetting, match=name):
        of(**{name: text})


def test_lists_are_separated_by_commas():
    found = of(
        LOOP_ALLOWED_ORIGINS="https://a.example, https://b.example:8443", LOOP_HAWK_PATH_PREFIXES="/a/b"
    )
    assert found.allowed_origins == ("https://a.example", "https://b.example:8443")
    assert found.hawk_path_prefixes == ("/a/b",)


def test_secrets_are_not_spelled_out():
    with pytest.raises(BadSetting) as error:
        of(LOOP_SECRET="canary")
    assert "canary" not in str(error.value)
    found = of(LOOP_SECRET=SECRET, LOOP_MEDIA_SECRET="canary-1", LOOP_MEDIA_CHANNELS="c=k:canary-2")
    assert not any(word in repr(found) for word in (SECRET, "canary-1", "canary-2"))
