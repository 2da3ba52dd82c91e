"""A gateway process around the stub: what `python -m infra.gateway` is around the product."""

import sys

from infra.gateway.server import main
from tests.gateway.stub_app import Glue

if __name__ == "__main__":
    sys.exit(main(Glue()))
