"""Programs that tests call and that the machine may lack."""

import os
import shutil

import pytest


def tool(*names: str) -> str:
    """The path of the first of `names` that is installed; without any the test is skipped, or fails in CI."""
    for name in names:
        if path := shutil.which(name):
            return path
    complaint = f"{' or '.join(names)} is not installed"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{complaint}, and CI must not go without it", pytrace=False)
    pytest.skip(complaint)
