"""Has each function's policy grant what a run of tests saw it use: `make policies USED=file`.

A run writes it: `GRANTS_FILE=file make test`, or `GRANTS_FILE=file pytest tests/...`.  What is granted
stays, unless the run is said to be a whole one.  Statements about secrets and logs are written by hand.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.grants import CONFIG, FUNCTIONS, GATEWAY, SELF_HOSTING, UNSEEN, Grant, granted, policy_of

BY_HAND: Final = ("Secrets", "Logs")
NEVER: Final = frozenset({"dynamodb:Scan"})
SOCKETS: Final = (
    "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:"
    "${WebsocketAPI}/${Stage}/%s/@connections/*"
)
RESOURCES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Table": ("Rows", {"Fn::GetAtt": ["Table", "Arn"]}),
    "Table/index/due": ("Due", {"Fn::Sub": "${Table.Arn}/index/due"}),
    "WorkQueue": ("Kicks", {"Fn::GetAtt": ["WorkQueue", "Arn"]}),
    "POST @connections": ("Sockets", {"Fn::Sub": SOCKETS % "POST"}),
    "DELETE @connections": ("Sockets", {"Fn::Sub": SOCKETS % "DELETE"}),
}
"""By what a resource is called in tests: the statement that it stands in, and its name in a policy."""
WIDTH: Final = 118


class Unknown(Exception):
    """A function used something that `RESOURCES` does not hold, or that `NEVER` does."""


def policy(function: str, grants: Iterable[Grant]) -> dict[str, Any]:
    """The function's policy with these grants.  Raises `Unknown`."""
    stated: dict[str, tuple[set[str], set[str]]] = {}
    old = policy_of(function)
    for grant in grants:
        if grant.function != function or grant.resource in ("logs", "parameters"):
            continue
        if grant.resource not in RESOURCES or grant.action in NEVER:
            raise Unknown(f"{function}: {grant.action} of {grant.resource}: no policy is to grant that")
        actions, resources = stated.setdefault(RESOURCES[grant.resource][0], (set(), set()))
        actions.add(grant.action)
        resources.add(grant.resource)
    order = dict.fromkeys(sid for sid, _ in RESOURCES.values())
    statements = [
        {
            "Sid": sid,
            "Effect": "Allow",
            "Action": _one_or_several(sorted(stated[sid][0])),
            "Resource": _one_or_several(
                [each for name, (_, each) in RESOURCES.items() if name in stated[sid][1]]
            ),
        }
        for sid in order
        if sid in stated
    ]
    return old | {"Statement": statements + [each for each in old["Statement"] if each["Sid"] in BY_HAND]}


def _one_or_several(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def spelled(value: Any, indent: str = "") -> str:
    """The value as JSON; what is short and not about several things stands on one line."""
    short = json.dumps(value)
    if not isinstance(value, dict | list) or (
        len(indent) + len(short) <= WIDTH and len(value) < (2 if isinstance(value, dict) else 5)
    ):
        return short
    inner = indent + "  "
    lines = (
        [f"{json.dumps(name)}: {spelled(each, inner)}" for name, each in value.items()]
        if isinstance(value, dict)
        else [spelled(each, inner) for each in value]
    )
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return begin + "\n" + ",\n".join(inner + line for line in lines) + "\n" + indent + end


def read(paths: Iterable[Path]) -> Iterator[Grant]:
    """What runs wrote down."""
    for path in paths:
        yield from (Grant(*json.loads(line)) for line in path.read_text().splitlines())


def main(arguments: list[str] | None = None, folder: Path = CONFIG.parent) -> int:
    """Write each policy that changes, and say what does."""
    parser = argparse.ArgumentParser(prog="python -m tools.policies", description=__doc__)
    parser.add_argument("used", type=Path, nargs="*", help="files that runs of tests wrote")
    parser.add_argument("--whole", action="store_true", help="all tests ran: take away what was not used")
    options = parser.parse_args(arguments)
    try:
        used = set(read(options.used))
    except OSError as why:
        parser.error(str(why))
    except (TypeError, ValueError) as why:
        parser.error(f"that is not what a run wrote: {why}")
    if options.whole and not used:
        parser.error("--whole takes what a whole run used, and here is nothing")
    for grant in sorted(each for each in used - granted() if each.function == GATEWAY):
        sys.stderr.write(f"{SELF_HOSTING.name} is yours to change: a gateway needs {grant.action}\n")
    wanted = used | (UNSEEN.keys() if options.whole else granted())
    try:
        policies = {function: policy(function, wanted) for function in FUNCTIONS}
    except Unknown as unknown:
        sys.stderr.write(f"{unknown}\n")
        return 1
    for function, made in policies.items():
        (folder / f"policy-{function}.json").write_text(spelled(made) + "\n")
    for sign, grants in (("+", wanted - granted()), ("-", granted() - wanted)):
        for grant in sorted(each for each in grants if each.function in FUNCTIONS):
            sys.stdout.write(f"{sign} {grant.function}: {grant.action} of {grant.resource}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
