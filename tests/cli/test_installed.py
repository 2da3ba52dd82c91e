"""The command line as pipx installs it: a wheel of the repository, and an environment of its own."""

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(path: Path) -> list[str]:
    """What a file of requirements lists itself."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "-"))]


def test_the_package_needs_what_the_functions_need_and_the_extra_what_the_gateway_has() -> None:
    assert PROJECT["dependencies"] == pins(ROOT / "requirements.txt")
    sockets = [each for each in PROJECT["optional-dependencies"]["cli"] if each.startswith("websockets")]
    assert set(sockets) <= set(pins(ROOT / "infra" / "gateway" / "requirements.txt"))


def call(*command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout, with an empty environment."""
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_", "http"))}
    kept |= {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env=kept | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what git knows of."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        wanted = name.startswith(("chalicelib/", "cli/", "infra/", "pyproject", "LICENSE", "README"))
        if wanted and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    built = call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", made, source)
    assert built.returncode == 0, built.stderr
    return next(made.glob("foyer-*.whl"))


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    done = call(
        *(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel),
    )
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_without_the_extra_one_line_says_what_to_install_and_names_nothing_of_the_package_index(
    alone: Path,
) -> None:
    said = call(alone / "foyer", "token", "visitor")
    assert (said.returncode, said.stdout) == (2, "")
    assert re.fullmatch(r"foyer: \w+ is not installed; .*\n", said.stderr)
    wanted = re.findall(r"pipx install '(.*?)'", said.stderr)
    assert wanted
    assert [each for each in wanted if not each.startswith(".") and " @ git+" not in each] == []


def test_with_what_the_extra_names_it_runs_outside_of_the_checkout(alone: Path) -> None:
    """The libraries of this environment stand for those of the extra: they are what the lock has of it."""
    libraries = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    environ = {"PYTHONPATH": str(libraries)}
    made = call(alone / "foyer", "token", "visitor", "--key", "k" * 32, **environ)
    assert (made.returncode, made.stderr) == (0, "")
    keys = {"JITSI_USER_KEYS": f"secret:{'k' * 32}"}
    read = call(alone / "foyer", "token", "check", made.stdout.strip(), **environ, **keys)
    assert (read.returncode, read.stdout.splitlines()[0]) == (0, "stands for   visitor")
    checked = call(alone / "foyer", "config", "check", GATEWAY_MODE="none", **environ)
    assert checked.returncode == 1
    assert "GATEWAY_MODE\tedge or aws" in checked.stdout


def test_the_wheel_holds_nothing_that_it_does_not_need(wheel: Path) -> None:
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "chalicelib",
        "cli",
        "infra",
    }
    assert {name for name in names if name.startswith("infra/")} == {
        "infra/__init__.py",
        "infra/gateway/__init__.py",
        "infra/gateway/events.py",
        "infra/gateway/settings.py",
    }
