"""`python -m cli`: the same as `foyer`, from a checkout."""

import sys

from cli.main import main

if __name__ == "__main__":
    sys.exit(main())
