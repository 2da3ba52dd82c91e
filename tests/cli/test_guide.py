"""docs/cli.md shows commands that exist, with options that they have, and leaves none out."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.app import app
from infra.children import ROOT
from tests.cli.test_contract import COMMANDS, options

GUIDE = ROOT / "docs" / "cli.md"
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAIN: Any = typer.main.get_command(app)


def shown(path: Path) -> Iterator[list[str]]:
    """The words of every command of ours in the blocks of a document."""
    for block in FENCE.findall(path.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("foyer "):
                yield shlex.split(line, comments=True)[1:]


def command_of(words: list[str]) -> tuple[str, ...]:
    """The command that the words call."""
    found = max((path for path in COMMANDS if tuple(words[: len(path)]) == path), key=len, default=())
    assert found, f"foyer {' '.join(words)}: there is no such command"
    return found


LINES = [
    (str(path.relative_to(ROOT)), words) for path in sorted(ROOT.glob("docs/*.md")) for words in shown(path)
]
LINES += [("README.md", words) for words in shown(ROOT / "README.md")]


@pytest.mark.parametrize(
    ("document", "words"), LINES, ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_a_command_that_is_shown_can_be_called_like_that(document: str, words: list[str]) -> None:
    path = command_of(words)
    rest = [word.partition("=")[0] for word in words[len(path) :] if re.match(r"--?[a-z]", word)]
    assert set(rest) <= options(COMMANDS[path]), document
    command = COMMANDS[path]
    with command.make_context("foyer", words[len(path) :], resilient_parsing=False) as context:
        assert context.params


def test_every_command_is_shown() -> None:
    assert {command_of(words) for _, words in LINES if words} == COMMANDS.keys()


def test_the_guide_says_what_goes_before_a_command() -> None:
    text = GUIDE.read_text()
    for parameter in MAIN.params:
        if parameter.envvar:
            assert f"`{parameter.opts[0]}`" in text
            assert f"`{parameter.envvar}`" in text
