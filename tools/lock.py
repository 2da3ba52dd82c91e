"""Compiles the lock files with uv: `make lock`.  No line of theirs names a registry."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET = ("--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")
LOCKS = (
    # input, lock, constraints
    ("requirements-dev.in", "requirements-dev.lock", None),
    ("requirements.txt", "requirements.lock", "requirements-dev.lock"),
    ("infra/gateway/requirements.txt", "infra/gateway/requirements.lock", "requirements-dev.lock"),
    ("infra/uv.txt", "infra/uv.lock", None),
)


def compile_lock(wanted: str, lock: str, constraints: str | None, *upgrade: str) -> None:
    """Compile one lock, with hashes, for every Python and system that we support."""
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", *QUIET]
    if constraints:
        command += ["--constraint", constraints]
    subprocess.run([*command, *upgrade, wanted, "--output-file", lock], cwd=ROOT, check=True)


def main() -> None:
    """Compile all; arguments such as `--upgrade` go to uv."""
    for wanted, lock, constraints in LOCKS:
        compile_lock(wanted, lock, constraints, *sys.argv[1:])


if __name__ == "__main__":
    main()
