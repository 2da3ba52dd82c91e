"""Settings that say where a secret stands: `ssm:/foyer-prod/OWT_KEY_SECRET`, a parameter of SSM.

They are looked up when the settings are read, once in a process.  So a secret stands in no template, no
function's configuration and no log, and each function asks only for those that it has a use for.
"""

from collections.abc import Mapping
from typing import Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.settings import BadSetting
from chalicelib.store import aws

AT_ONCE: Final = 10
"""Names in one call, as SSM has it."""
TRIES: Final = 5


def begin() -> None:
    """Have settings look up what they refer to."""
    settings.look_up_with(look_up)


def look_up(wanted: Mapping[str, str]) -> dict[str, str]:
    """What the settings in `wanted` refer to, by the settings' names.  Raises `BadSetting`."""
    found = _fetch(sorted({_parameter(reference) for reference in wanted.values()}), ", ".join(wanted))
    missing = [name for name, reference in wanted.items() if _parameter(reference) not in found]
    if missing:
        raise BadSetting(f"{', '.join(missing)}: SSM has no such parameter")
    return {name: found[_parameter(reference)] for name, reference in wanted.items()}


def _parameter(reference: str) -> str:
    return reference.strip().removeprefix(settings.REFERENCE)


def _name(parameter: str) -> str:
    """A parameter's name without the version.

    >>> _name("/foyer-dev/OWT_KEY_SECRET:3")
    '/foyer-dev/OWT_KEY_SECRET'
    """
    return parameter.partition(":")[0]


def _fetch(parameters: list[str], what_for: str) -> dict[str, str]:
    """Values by parameter.  Raises `BadSetting`."""
    client = aws.client(
        "ssm",
        Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": TRIES, "mode": "standard"}),
    )
    found: dict[str, str] = {}
    try:
        for asked in _batches(parameters):
            answer = client.get_parameters(Names=list(asked.values()), WithDecryption=True)
            for each in answer["Parameters"]:
                found[asked[_name(each["Name"])]] = each["Value"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        raise BadSetting(f"{what_for}: SSM refuses to tell: {code}") from None
    except BotoCoreError as error:
        raise BadSetting(f"{what_for}: SSM does not answer: {type(error).__name__}") from None
    finally:
        client.close()
    return found


def _batches(parameters: list[str]) -> list[dict[str, str]]:
    """What is asked for in one call, by name: no name twice, as answers tell versions apart by it."""
    batches: list[dict[str, str]] = []
    for each in parameters:
        name = _name(each)
        for batch in batches:
            if name not in batch and len(batch) < AT_ONCE:
                batch[name] = each
                break
        else:
            batches.append({name: each})
    return batches
