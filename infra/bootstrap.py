"""Makes `.venv` from requirements-dev.lock with what this machine has, uv or pip.  Standard library only."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"
UV_LOCK = ROOT / "infra" / "uv.lock"
READY = VENV / ".ready"
MADE = VENV / ".made"
PIP_INSTALL = ("-m", "pip", "install", "-qq", "--require-hashes")
OURS = {
    "VIRTUAL_ENV": str(VENV),
    "UV_PYTHON_DOWNLOADS": "never",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


class Failed(Exception):
    """One step did not work; another way may."""


def say(text: str) -> None:
    """Tell the person who waits what is being done."""
    print(f"foyer: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, quiet: bool = False) -> None:
    """Run a command.  Raises `Failed`."""
    environ = {
        k: v for k, v in os.environ.items() if k not in {"PYTHONHOME", "PYTHONPATH", "PIP_REQUIRE_VIRTUALENV"}
    }
    environ |= OURS
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=subprocess.DEVNULL if quiet else None,
            check=False,
        )
    except OSError as error:
        raise Failed(str(error)) from None
    if done.returncode:
        raise Failed(f"{' '.join(str(part) for part in command[:4])} ... ended with {done.returncode}")


def interpreter() -> str:
    """This Python, and where `.venv` is; another one needs a `.venv` from the ground up."""
    text = f"{sys.version_info[:3]} {sysconfig.get_platform()} {ROOT}"
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint() -> str:
    """What `.venv` is made of: this Python and the lock."""
    return f"{interpreter()} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"


def python() -> Path:
    """The interpreter inside `.venv`."""
    return VENV / "bin" / "python"


def usable() -> bool:
    """Whether `.venv` was finished once with this Python, so that its packages can be exchanged in place."""
    return python().exists() and MADE.exists() and MADE.read_text() == interpreter()


def with_uv(uv: str | Path) -> None:
    """Fill `.venv` through uv.  Raises `Failed`."""
    if Path(uv).parent != python().parent and not usable():
        shutil.rmtree(VENV, ignore_errors=True)
        run(uv, "venv", "--quiet", "--python", sys.executable, VENV)
    run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python(), LOCK)


def own_uv() -> Path:
    """Install uv into `.venv` itself, beside what it will install.  Raises `Failed`."""
    run(sys.executable, "-m", "venv", "--clear", VENV)
    run(python(), *PIP_INSTALL, "--only-binary", ":all:", "-r", UV_LOCK)
    return VENV / "bin" / "uv"


def uv_beside() -> Path:
    """Install uv with the machine's own pip, where Python came without `ensurepip`.  Raises `Failed`."""
    uv = ROOT / ".local" / "uv"
    uv.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory() as tools:
        run(sys.executable, *PIP_INSTALL, "--only-binary", ":all:", "--target", tools, "-r", UV_LOCK)
        shutil.copy2(Path(tools) / "bin" / "uv", uv)
    return uv


def with_pip() -> None:
    """Fill `.venv` through pip.  Raises `Failed`."""
    run(sys.executable, "-m", "venv", "--clear", VENV)
    run(python(), *PIP_INSTALL, "-r", LOCK)


def make() -> None:
    """Make `.venv`, by the quickest way that works here.  Raises `Failed`."""
    uv = shutil.which("uv")
    if uv:
        try:
            say("making .venv with uv")
            return with_uv(uv)
        except Failed as why:
            say(f"uv did not manage it ({why}); trying pip")
    for fetch in (own_uv, uv_beside):
        try:
            say("fetching uv with pip, then making .venv")
            return with_uv(fetch())
        except Failed as why:
            say(f"that did not work ({why})")
    say("making .venv with pip alone; this takes a minute")
    with_pip()


def main() -> int:
    """Make `.venv` unless it is what the lock says already."""
    wanted = fingerprint()
    if READY.exists() and READY.read_text() == wanted and python().exists():
        READY.touch()
        return 0
    READY.unlink(missing_ok=True)
    try:
        make()
    except Failed as why:
        say(f"no .venv: {why}")
        say("a Python with its venv module (Debian: python3-venv), or uv, and a package registry are needed")
        return 1
    MADE.write_text(interpreter())
    READY.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
