"""The settings of the media plane: what is refused, and what is none of ours."""

import pytest

from chalicelib import settings
from chalicelib.owt import media_settings
from chalicelib.owt.media_settings import MediaSettings


@pytest.mark.parametrize("name", ["COMMAND_MODE", "MEDIA_ROOT", "CONFIRM_DELETE"])
def test_variables_of_other_programs_are_none_of_ours(name, monkeypatch):
    monkeypatch.setenv(name, "unix2003")
    assert media_settings.get() == MediaSettings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MEDIA_MODE", "stored"),
        ("MEDIA_MODES", "store"),
        ("CONFIRM_TIMEOUT_S", "0"),
        ("CONFIRM_TIMEOUT_S", "20.1"),
        ("CONFIRM_TIMEOUT_MS", "1"),
        ("COMMAND_WEBHOOK_URI", "https://a.example/"),
        ("COMMAND_WEBHOOK_PRIVATE", "perhaps"),
    ],
)
def test_what_cannot_work_stops_the_start_with_its_name(name, text, monkeypatch):
    monkeypatch.setenv(name, text)
    with pytest.raises(settings.BadSetting, match=f"^{name}: "):
        media_settings.get()
