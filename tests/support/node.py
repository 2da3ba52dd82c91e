"""Node and the packages of tests/node, installed from its lock when they are not there yet.

python -m tests.support.node        installs all of them, so that no test has to wait for it
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "node"
REFERENCE = FOLDER.parent / "reference" / "node"
"""What reads the reference: a parser, and a client that runs collections."""
INSTALL_S = 900


class Missing(Exception):
    """Something that the tests need is not on this machine; the text says how to get it."""


def executable(name: str) -> str:
    """The path of a program.  Raises `Missing`."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is missing: infra/system-packages.sh installs it on Debian")
    return found


def environment() -> dict[str, str]:
    """What a script sees: on Node 18 some need a global that later ones have anyhow.  Raises `Missing`."""
    told = subprocess.run(
        [executable("node"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    if int(told.removeprefix("v").partition(".")[0]) > 18:
        return dict(os.environ)
    return dict(os.environ) | {"NODE_OPTIONS": "--experimental-global-webcrypto"}


def modules(folder: Path = FOLDER) -> Path:
    """A folder, tests/node unless told, with its `node_modules` as the lock says.  Raises `Missing`."""
    node, npm = executable("node"), executable("npm")
    lock = (folder / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(lock + node.encode()).hexdigest()
    ready = folder / "node_modules" / ".foyer"
    with (folder / ".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text() == wanted:
            return folder
        done = subprocess.run(
            [npm, "ci", "--prefer-offline"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        if done.returncode:
            raise Missing(f"npm ci in {folder} failed:\n{done.stdout}")
        ready.write_text(wanted)
    return folder


def main() -> None:
    """Install; what is missing is for the tests that need it to say."""
    for folder in (FOLDER, REFERENCE):
        try:
            modules(folder)
        except Missing as why:
            print(why, file=sys.stderr)


if __name__ == "__main__":
    main()
