"""Where the deployed tests go is said by the environment, of which they forget everything else."""

import json
import os

import pytest

from tests.support import target

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.mark.parametrize(
    ("environ", "kept"),
    [
        (KEYS, None),
        (KEYS | {"FOYER_TEST_AWS": "0"}, None),
        (KEYS | {"FOYER_TEST_AWS": "1", "FOYER_STAGE": "dev"}, KEYS),
        ({"LOCALSTACK_HOST": "localhost:4566", "HOME": "/"}, {"LOCALSTACK_HOST": "localhost:4566"}),
        (KEYS | {"AWS_ENDPOINT_URL": "http://h:1"}, KEYS | {"AWS_ENDPOINT_URL": "http://h:1"}),
    ],
    ids=["credentials alone", "not in AWS", "in AWS", "LocalStack", "an endpoint"],
)
def test_only_who_says_so_deploys_elsewhere(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], kept: dict[str, str] | None
):
    monkeypatch.setenv(target.REMEMBERED, "")
    monkeypatch.delenv(target.REMEMBERED)

    target.remember(environ)

    assert json.loads(os.environ.get(target.REMEMBERED, "null")) == kept


def test_what_was_given_is_in_force_for_as_long_as_it_is_used():
    before = dict(os.environ)
    with target.given_environment({"AWS_ACCESS_KEY_ID": "a", "LOCALSTACK_HOST": "h:1"}):
        now = {name: text for name, text in os.environ.items() if name.startswith(("AWS_", "LOCALSTACK"))}
        assert now == {"AWS_ACCESS_KEY_ID": "a", "LOCALSTACK_HOST": "h:1"}
    assert dict(os.environ) == before
