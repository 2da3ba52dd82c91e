"""An app of one route that answers 204 and touches nothing.  For `GATEWAY_APP`."""

from typing import Any

from chalice.app import Chalice, Response

from bench import memory_store

app = Chalice(app_name="canned")
memory_store.install()  # the gateway registers itself


@app.route("/canned", methods=["GET"])  # type: ignore[untyped-decorator]
def canned() -> Response:
    """Nothing."""
    return Response("", status_code=204)


def nothing(event: Any, context: Any) -> dict[str, int]:
    """Every other handler."""
    return {"statusCode": 200}


ws_connect = ws_message = ws_disconnect = tick = work = nothing
