"""What each function asks of AWS while the tests run, and what its policy grants.

A call is a grant: function, action, resource.  They are heard above botocore's transport, whatever stands
behind it, and belong to the handler that the call was made in: `work` also where a gateway serves a kick.
What a gateway does beside its handlers is compared with the policy that docs/self-hosting.md has for it.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from botocore.client import BaseClient
from chalice.app import Chalice

from chalicelib import journal
from chalicelib.outbox import owed
from chalicelib.realtime import connections, protocols
from infra.children import ROOT

P = ParamSpec("P")
T = TypeVar("T")

API: Final = "api_handler"
GATEWAY: Final = "gateway"
CONFIG: Final = ROOT / ".chalice" / "config.json"
SELF_HOSTING: Final = ROOT / "docs" / "self-hosting.md"
FILE: Final = "GRANTS_FILE"
"""Where a process writes down what its functions used: a gateway for its test, a run for `make policies`."""

IN_TRANSACTIONS: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
"""A transaction has no permission of its own, only those of what is in it."""


class Grant(NamedTuple):
    """One function may do, or did, one thing with one kind of resource."""

    function: str
    action: str
    resource: str


FUNCTIONS: Final = (
    *(API, "websocket_connect", "websocket_message", "websocket_disconnect"),
    *("tick", "work"),
)
HANDLERS: Final = {
    "ws_connect": "websocket_connect",
    "ws_message": "websocket_message",
    "ws_disconnect": "websocket_disconnect",
    "tick": "tick",
    "work": "work",
}
"""The functions of `app`'s handlers, REST apart."""
LAMBDA_LOGS: Final = "Lambda itself writes what a function prints"
LAMBDA_POLLS: Final = "Lambda itself takes kicks from the queue, as this function"
AT_INIT: Final = "settings that refer to parameters are looked up before the first event"
NAMED: Final = {"dynamodb": "Table", "sqs": "WorkQueue"}
UNSEEN: Final[dict[Grant, str]] = {
    **{Grant(each, "logs:CreateLogStream", "logs"): LAMBDA_LOGS for each in FUNCTIONS},
    **{Grant(each, "logs:PutLogEvents", "logs"): LAMBDA_LOGS for each in FUNCTIONS},
    **{Grant(each, "ssm:GetParameters", "parameters"): AT_INIT for each in FUNCTIONS},
    Grant("work", "sqs:DeleteMessage", "WorkQueue"): LAMBDA_POLLS,
    Grant("work", "sqs:GetQueueAttributes", "WorkQueue"): LAMBDA_POLLS,
    Grant("work", "sqs:ReceiveMessage", "WorkQueue"): LAMBDA_POLLS,
}
"""What policies grant and no test sees used, and why: the whole list of it."""

ELSEWHERE: Final = {
    "kms": "the policy of the operator's own key grants its use (docs/owt.md)",
    "lambda": "a gateway in front of functions has a policy of its operator's own (docs/self-hosting.md)",
}
"""Services whose use no policy here grants, and why."""

used: set[Grant] = set()
denied: list[Grant] = []
"""What was used in the current test without a grant."""

_function: ContextVar[str | None] = ContextVar("function", default=None)
_else: list[str] = []
"""What runs in this process where no function does."""


def running() -> str | None:
    """The function that this runs in, as far as policies are concerned."""
    return _function.get() or next(iter(_else), None)


def note(action: str, resource: str) -> None:
    """The function that runs, if any, does this."""
    function = running()
    if function is None:
        return
    use(Grant(function, action, resource))


def use(grant: Grant) -> None:
    """Know that this was done."""
    if grant not in used:
        used.add(grant)
        if os.environ.get(FILE):
            with Path(os.environ[FILE]).open("a") as file:  # one line in one write: processes share the file
                file.write(json.dumps(grant) + "\n")
    if grant not in granted():
        denied.append(grant)


def hear(method: str) -> None:
    """A socket of API Gateway is sent something, or closed."""
    note("execute-api:ManageConnections", f"{method} @connections")


def collect(path: Path) -> None:
    """Take in what child processes wrote down."""
    with suppress(FileNotFoundError):
        for line in path.read_text().splitlines():
            use(Grant(*json.loads(line)))
        path.unlink()


def unused() -> list[Grant]:
    """What policies grant and nothing used, save for what is known to go unseen.

    A gateway needs for the handlers inside it what functions need.
    """
    inside = {Grant(GATEWAY, *rest) for function, *rest in granted() if function != GATEWAY}
    return sorted(granted() - used - UNSEEN.keys() - inside)


def policy_of(function: str, stage: str = "dev") -> dict[str, Any]:
    """The policy of a function, found as Chalice finds it."""
    config = json.loads(CONFIG.read_text())
    of_stage = config["stages"][stage]
    places = (
        of_stage.get("lambda_functions", {}).get(function, {}),
        of_stage,
        config["lambda_functions"].get(function, {}),
    )
    name = next(place["iam_policy_file"] for place in places if "iam_policy_file" in place)
    found: dict[str, Any] = json.loads((CONFIG.parent / name).read_text())
    return found


@functools.cache
def granted() -> frozenset[Grant]:
    """All that the policies grant."""
    return frozenset(
        Grant(function, action, resource)
        for function in FUNCTIONS
        for statement in policy_of(function)["Statement"]
        for action in listed(statement["Action"])
        for each in listed(statement["Resource"])
        for resource in _kinds(each)
    ) | frozenset(_of_gateways())


def _of_gateways() -> Iterator[Grant]:
    """What the policy of the guide grants to a gateway."""
    blocks = re.findall(r"^```json\n(.*?)^```$", SELF_HOSTING.read_text(), re.DOTALL | re.MULTILINE)
    (policy,) = [json.loads(each) for each in blocks if '"Statement"' in each]
    for statement in policy["Statement"]:
        for action in statement["Action"]:
            for arn in listed(statement["Resource"]):
                service, name = arn.split(":")[2], arn.rpartition(":")[2]
                index = name.partition("/index")[2]
                if service == "execute-api":
                    _, _, method, path, every = name.split("/")
                    assert (path, every) == ("@connections", "*"), arn
                    yield Grant(GATEWAY, action, f"{method} @connections")
                else:
                    yield Grant(GATEWAY, action, f"Table/index{index}" if index else NAMED[service])


def listed(value: Any) -> list[Any]:
    """One or several, as policies have it."""
    return value if isinstance(value, list) else [value]


def _kinds(resource: Any) -> Iterator[str]:
    """What a resource of a policy is called here.  Raises `AssertionError` for one that nobody named."""
    if "Fn::GetAtt" in resource:
        logical_id, attribute = resource["Fn::GetAtt"]
        assert attribute == "Arn"
        yield logical_id
        return
    text = resource["Fn::Sub"]
    if text.startswith("${Table.Arn}/index/"):
        yield "Table" + text.removeprefix("${Table.Arn}")
    elif ":execute-api:" in text:
        api, stage, method, path, every = text.rpartition(":")[2].split("/")
        assert (api, stage, path, every) == ("${WebsocketAPI}", "${Stage}", "@connections", "*"), text
        yield f"{method} @connections"
    elif ":logs:" in text:
        assert text.endswith(":log-group:/foyer/${AWS::StackName}/*"), text
        yield "logs"
    elif ":ssm:" in text:
        assert ":parameter/${AWS::StackName}/" in text, text
        yield "parameters"
    else:
        raise AssertionError(text)


def _ours(name: str, handler: Callable[P, T]) -> Callable[P, T]:
    """A handler of `app`, whose calls are its function's; tests count with others too."""
    return within(HANDLERS[name], handler) if name in HANDLERS else handler


def begin(otherwise: str = "") -> None:
    """Hear every call from now on; before `app` is imported, whose handlers `journal.counting` wraps.

    A call that no handler makes belongs to nobody, or to `otherwise`.
    """
    _else[:] = [otherwise] if otherwise else []
    ThreadPoolExecutor.submit = _carried(ThreadPoolExecutor.submit)  # type: ignore[method-assign]
    Chalice.__call__ = within(API, Chalice.__call__)
    counting = journal.counting
    journal.counting = lambda handler: _ours(handler.__name__, counting(handler))
    protocols.handshake = within("websocket_connect", protocols.handshake)
    protocols.message = within("websocket_message", protocols.message)
    protocols.disconnect = within("websocket_disconnect", protocols.disconnect)
    owed.sweep = within("tick", owed.sweep)
    owed.work = within("work", owed.work)
    BaseClient._make_api_call = _heard(BaseClient._make_api_call)
    client = connections.Connections
    client.post_many = _heard_sockets("POST", client.post_many)  # type: ignore[method-assign]
    client.close = _heard_sockets("DELETE", client.close)  # type: ignore[method-assign]


def within(function: str | None, handler: Callable[P, T]) -> Callable[P, T]:
    """`handler`, as what runs in this function."""

    @functools.wraps(handler)
    def around(*arguments: P.args, **options: P.kwargs) -> T:
        outer = _function.set(function)
        try:
            return handler(*arguments, **options)
        finally:
            _function.reset(outer)

    return around


def outside(act: Callable[P, T]) -> Callable[P, T]:
    """`act`, as what a test does itself, also where a handler made it look."""
    return within(None, act)


def _carried(submit: Callable[..., Any]) -> Callable[..., Any]:
    """Other threads work for the function that asks them to."""

    @functools.wraps(submit)
    def around(self: Any, act: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        return submit(self, within(_function.get(), act), *arguments, **options)

    return around


def _heard(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def around(self: Any, operation: str, request: dict[str, Any]) -> Any:
        if running() is not None:
            for action, resource in spelled(self.meta.service_model.service_name, operation, request):
                note(action, resource)
        return call(self, operation, request)

    return around


def _heard_sockets(method: str, send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    def around(self: Any, endpoint: connections.Endpoint, *arguments: Any) -> Any:
        if endpoint.kind == connections.API_GATEWAY:
            hear(method)
        return send(self, endpoint, *arguments)

    return around


def spelled(service: str, operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Actions and resources of one call."""
    if service == "dynamodb":
        parts = request.get("TransactItems")
        names = [IN_TRANSACTIONS[kind] for part in parts for kind in part] if parts else [operation]
        for name in names:
            index = request.get("IndexName")
            yield f"dynamodb:{name}", f"Table/index/{index}" if index else "Table"
    elif service == "sqs":
        yield f"sqs:{operation.removesuffix('Batch')}", "WorkQueue"
    elif service == "ssm":
        yield f"ssm:{operation}", "parameters"
    elif service not in ELSEWHERE:
        yield f"{service}:{operation}", "?"
