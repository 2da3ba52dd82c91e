"""Our Prosody module: its syntax, and its behaviour against stand-ins of Prosody and Jitsi (`world.lua`)."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.prosody.tools import tool

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "infra" / "prosody" / "mod_foyer_visitors.lua"
SPEC = HERE / "spec.lua"
CASES = re.findall(r'^case\("([^"]+)"', SPEC.read_text(), re.MULTILINE)


def test_the_module_compiles() -> None:
    compiler = tool("luac", "luac5.4")
    result = subprocess.run([compiler, "-p", str(MODULE)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_it_leaves_no_global_name_behind() -> None:
    """Every module of a host shares Prosody's environment tables, so a stray global is a bug."""
    compiler = tool("luac", "luac5.4")
    listing = subprocess.run(
        [compiler, "-l", "-p", str(MODULE)], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r'SETTABUP.*_ENV "(\w+)"', listing) == []


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    interpreter = tool("lua", "lua5.4")
    result = subprocess.run(
        [interpreter, str(SPEC), str(MODULE), str(HERE), case], capture_output=True, text=True, timeout=20
    )
    assert result.returncode == 0, result.stderr


def test_no_case_is_named_twice() -> None:
    assert len(CASES) == len(set(CASES)) > 0
