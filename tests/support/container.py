"""The gateway's image without a container: what the Dockerfile copies, in a folder, started as it says."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml  # type: ignore[import-untyped,unused-ignore]

from infra.children import ROOT, Gateway

DOCKERFILE: Final = ROOT / "infra" / "gateway" / "Dockerfile"
IGNORED: Final = DOCKERFILE.with_name("Dockerfile.dockerignore")
LOCK: Final = DOCKERFILE.with_name("requirements.lock")
SELFHOST: Final = ROOT / "infra" / "selfhost"
COMPOSE: Final = SELFHOST / "compose.yaml"
EXAMPLE: Final = SELFHOST / "foyer.env.example"
UNIT: Final = SELFHOST / "foyer-gateway@.service"

# No library beyond the lock, and no memory that is both written and executed, as the unit has it (Linux 6.3).
LIKE_THE_IMAGE: Final = """
import ctypes, sys
class NotInTheImage:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(name + " is not in the image", name=name)
sys.meta_path.insert(0, NotInTheImage())
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0)
"""


class Instruction(NamedTuple):
    """One instruction of a Dockerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments: those of a JSON list, or split as a shell does."""
        text = self.text[self.text.index("[") :] if self.name == "HEALTHCHECK" else self.text
        return list(json.loads(text)) if text.startswith("[") else shlex.split(text)


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield Instruction(name, rest.strip())


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, beginning with its FROM."""
    found: list[list[Instruction]] = []
    for each in instructions(DOCKERFILE.read_text()):
        if each.name == "FROM":
            found.append([])
        if found:
            found[-1].append(each)
    return found


def last(name: str) -> Instruction:
    """The instruction of that name that counts in the image."""
    return next(each for each in reversed(stages()[-1]) if each.name == name)


def copied() -> dict[str, str]:
    """What the image takes of the repository: source -> target below its working directory."""
    found = {}
    for each in stages()[-1]:
        if each.name == "COPY" and "--from" not in each.text:
            *sources, target = each.words
            folder = target.endswith("/") and not sources[0].endswith("/")
            for source in sources:
                found[source] = target + (source.rpartition("/")[2] if folder else "")
    return found


def environment() -> dict[str, str]:
    """The variables that the image sets, but for PATH: the interpreter is the tests'."""
    pairs = [word.partition("=") for each in stages()[-1] if each.name == "ENV" for word in each.words]
    return {name: value for name, _, value in pairs if name != "PATH"}


def example() -> dict[str, str]:
    """The settings of foyer.env.example, as Docker reads the file."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def compose() -> dict[str, Any]:
    """compose.yaml."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


@cache
def beyond_the_lock() -> frozenset[str]:
    """The modules of the tests' interpreter that belong to libraries which the image does not have."""
    wanted = {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(), re.MULTILINE)
    }
    return frozenset(
        module
        for module, names in metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in names} & wanted
    )


class Image:
    """The image's files in a folder that nobody may write to, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.user = _user()
        ignore = shutil.ignore_patterns("__pycache__")
        for source, target in copied().items():
            place = self.app / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, dirs_exist_ok=True, ignore=ignore)
            else:
                shutil.copyfile(ROOT / source, place)
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(LIKE_THE_IMAGE.format(modules=set(beyond_the_lock())))
        compileall = [sys.executable, "-m", "compileall", "-q", str(self.app)]
        subprocess.run(compileall, check=True)
        self.environment = environment() | {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        self.made = self.files()

    def files(self) -> dict[str, int]:
        """What is there, and when it was written."""
        return {str(path): path.stat().st_mtime_ns for path in sorted(self.app.rglob("*"))}

    def identity(self) -> dict[str, Any]:
        """How a process of the image's user is started."""
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    def run(self, command: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        return subprocess.run(
            _here(command),
            env=self.environment | dict(environ),
            cwd=self.app,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self.identity(),
        )


class Contained(Gateway):
    """A gateway started with the image's command, as its user, in an environment of nothing else."""

    def __init__(self, image: Image, environ: Mapping[str, str], log_path: Path) -> None:
        super().__init__(image.environment | dict(environ) | {"GATEWAY_DIE_WITH_PARENT": "true"}, log_path)
        self.image = image

    def spawn(self, command: list[str] | None = None) -> None:
        """Start it."""
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                _here(command or last("CMD").words),
                env=self.environ,
                cwd=self.image.app,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self.image.identity(),
            )


def _here(command: list[str]) -> list[str]:
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def _user() -> int:
    """The image's user where we may become that and it can use our interpreter, else 0."""
    user = int(last("USER").text.partition(":")[0])
    try:
        subprocess.run(
            [sys.executable, "-c", "import chalice"], user=user, group=user, check=True, capture_output=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return user
