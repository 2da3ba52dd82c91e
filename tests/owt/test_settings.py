"""The settings of conference management: what cannot work stops the start."""

import pytest

from chalicelib.owt import settings
from chalicelib.owt.settings import OwtSettings
from chalicelib.settings import BadSetting, load

ID = "5e0d0c0a0b0c0d0e0f101112"
SECRET = "a secret of thirty-two characters"
COMPLETE = {"OWT_SUPER_SERVICE_ID": ID, "OWT_SUPER_SERVICE_KEY": "k", "OWT_KEY_SECRET": SECRET}


def of(**environ: str) -> OwtSettings:
    return load(OwtSettings, "OWT_", environ)


def test_without_any_setting_there_is_no_super_service():
    assert (of().super_service_id, of().super_service_key) == ("", "")


def test_the_super_service_has_an_id_a_key_and_a_secret_for_the_other_keys():
    found = of(**COMPLETE)
    assert found.super_service_id == ID
    assert not found.strict


@pytest.mark.parametrize("missing", ["OWT_SUPER_SERVICE_ID", "OWT_SUPER_SERVICE_KEY", "OWT_KEY_SECRET"])
def test_none_of_the_three_can_be_missing(missing):
    with pytest.raises(BadSetting, match=missing):
        of(**{name: text for name, text in COMPLETE.items() if name != missing})


def test_with_kms_the_secret_may_be_missing_if_tokens_have_one_of_their_own():
    without = {"OWT_SUPER_SERVICE_ID": ID, "OWT_SUPER_SERVICE_KEY": "k", "OWT_KMS_KEY_ID": "alias/foyer"}
    with pytest.raises(BadSetting, match="OWT_TOKEN_SECRET"):
        of(**without)
    assert of(**without, OWT_TOKEN_SECRET=SECRET).kms_key_id == "alias/foyer"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OWT_SUPER_SERVICE_ID", "super"),
        ("OWT_SUPER_SERVICE_ID", ID.upper()),
        ("OWT_SUPER_SERVICE_ID", ID + "0"),
        ("OWT_KEY_SECRET", "short"),
        ("OWT_TOKEN_SECRET", "short"),
        ("OWT_MAUTH", "lenient"),
        ("OWT_MAUTH_WINDOW_S", "0"),
        ("OWT_MAUTH_WINDOW_S", "3601"),
        ("OWT_SERVICE_CACHE_S", "61"),
        ("OWT_SERVICE_CACHE_S", "-1"),
        ("OWT_PORTAL_HOST", ""),
        ("OWT_RECORDING_HOST", ""),
        ("OWT_RECORDING_PATH", "recordings"),
        ("OWT_NO_SUCH_THING", "1"),
    ],
)
def test_what_cannot_work_is_refused_by_name_and_its_value_is_not_told(name, text):
    with pytest.raises(BadSetting) as refused:
        of(**COMPLETE | {name: text})
    assert name in str(refused.value)
    assert not text or f" {text} " not in f" {refused.value} "


def test_secrets_are_not_shown():
    shown = repr(of(**COMPLETE, OWT_TOKEN_SECRET=SECRET + "2"))
    assert SECRET not in shown
    assert "super_service_key" not in shown


def test_the_settings_are_read_from_the_environment(table, credentials):
    assert settings.get().super_service_id == credentials.super_service_id
    assert settings.get().super_service_key == credentials.super_service_key
