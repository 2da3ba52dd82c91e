"""Every figure beside its goal: `make bench`, or some of them: `python -m bench gateway evening`."""

import subprocess
import sys
from typing import Final

from bench.common import ROOT

BENCHES: Final = ("fanout", "gateway", "rabbitmq", "selfhost", "coldstart", "handlers", "evening")


def main(wanted: list[str]) -> int:
    """Run the benches one after the other; 2 for one that does not exist."""
    unknown = sorted(set(wanted) - set(BENCHES))
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in wanted or BENCHES:
        subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
