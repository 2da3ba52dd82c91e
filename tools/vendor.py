"""Makes the console's copies of libraries from the packages of tests/node; `--check` says what differs.

They are the packages' own files, but for the name under which one imports another, and for the address of a
map that is not shipped: browsers take them as they are, and nothing is built.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ROOT / "tests" / "node" / "node_modules"
STATIC: Final = ROOT / "chalicelib" / "console" / "static"
IMPORTS: Final = {'from"preact"': 'from"./preact.js"'}
MAP: Final = "//# sourceMappingURL="


class Copy(NamedTuple):
    """One file of a package, and what it is called with us."""

    package: str
    path: str
    name: str


COPIES: Final = (
    Copy("preact", "dist/preact.mjs", "preact.js"),
    Copy("preact", "hooks/dist/hooks.mjs", "hooks.js"),
    Copy("preact", "LICENSE", "licence-preact.txt"),
    Copy("htm", "dist/htm.module.js", "htm.js"),
    Copy("htm", "LICENSE", "licence-htm.txt"),
    Copy("uplot", "dist/uPlot.iife.min.js", "uplot.js"),
    Copy("uplot", "LICENSE", "licence-uplot.txt"),
)


def made(copy: Copy) -> str:
    """What our file says."""
    text = (PACKAGES / copy.package / copy.path).read_text()
    if copy.name.endswith(".txt"):
        return text
    about = json.loads((PACKAGES / copy.package / "package.json").read_text())
    for ours, theirs in IMPORTS.items():
        text = text.replace(ours, theirs)
    text = "\n".join(line for line in text.splitlines() if not line.startswith(MAP)).strip()
    head = f"{copy.package} {about['version']}, {about['license']}: licence-{copy.package}.txt"
    return f"/*! {head} */\n{text}\n"


def differing() -> list[str]:
    """Names of our files that are not what the packages make."""
    return [
        copy.name
        for copy in COPIES
        if not (STATIC / copy.name).exists() or (STATIC / copy.name).read_text() != made(copy)
    ]


def main() -> int:
    """Write the files, or with `--check` name those that differ and exit 1."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing")
    if arguments.parse_args().check:
        found = differing()
        for name in found:
            print(f"{STATIC / name} is not what the package makes: run tools/vendor.py", file=sys.stderr)
        return 1 if found else 0
    for copy in COPIES:
        (STATIC / copy.name).write_text(made(copy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
