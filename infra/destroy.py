"""`make destroy`: a stack goes, and the bucket of its packages; its table stays unless told otherwise."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import deploy
from infra.children import Failed
from infra.deploy import CannotDeploy, Progress, Say

MISSING = frozenset({"404", "NoSuchBucket", "NotFound"})


def delete_stack(cloudformation: Any, stack: str, say: Say) -> bool:
    """Delete a stack and wait; whether there was one.  Raises `CannotDeploy`."""
    if not deploy.stack_status(cloudformation, stack):
        return False
    say(f"{stack}: deleting")
    progress = Progress(cloudformation, stack, say)
    cloudformation.delete_stack(StackName=stack)
    status = deploy.settled(cloudformation, stack, progress)
    if status not in ("", "DELETE_COMPLETE"):
        raise CannotDeploy(f"the stack is {status}: {deploy.reasons(cloudformation, stack)}")
    return True


def delete_bucket(s3: Any, bucket: str) -> bool:
    """Delete a bucket with all that is in it; whether there was one."""
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            named = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            if named:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return False
        raise
    return True


def left_tables(dynamodb: Any, stack: str) -> list[str]:
    """The tables that this stack, or an earlier one of its name, has made."""
    pages = dynamodb.get_paginator("list_tables").paginate()
    return [name for page in pages for name in page["TableNames"] if name.startswith(f"{stack}-Table-")]


def destroy(clients: Any, stack: str, *, with_table: bool = False, say: Say = deploy.quiet) -> list[str]:
    """Delete a stack, what stands in front of it and its packages; the tables that are left.

    `with_table` deletes the stack's own table too, and those of earlier stacks never.  Raises `CannotDeploy`.
    """
    cloudformation, dynamodb = clients.client("cloudformation"), clients.client("dynamodb")
    table = ""
    if deploy.stack_status(cloudformation, stack):
        table = deploy.outputs(cloudformation, stack).get("TableName", "")
    gone = [delete_stack(cloudformation, name, say) for name in (stack + deploy.FRONT, stack)]
    if not any(gone):
        say(f"{stack}: there is no such stack")
    bucket = deploy.bucket_name(clients, stack)
    if delete_bucket(clients.client("s3"), bucket):
        say(f"{bucket}: deleted")
    if with_table and table:
        dynamodb.delete_table(TableName=table)
        dynamodb.get_waiter("table_not_exists").wait(TableName=table)
        say(f"{table}: deleted")
    return left_tables(dynamodb, stack)


def confirmed(stack: str, with_table: bool, ask: Callable[[str], str], is_terminal: bool) -> bool:
    """Whether a person types the stack's name.  Raises `CannotDeploy` where nobody can."""
    if not is_terminal:
        raise CannotDeploy("nobody is here to ask; YES=1 destroys without a question")
    what = "and its table with all rows" if with_table else "and keeps its table"
    try:
        return ask(f"This deletes the stack {stack} {what}. Its name, to go on: ").strip() == stack
    except EOFError:
        return False


def main() -> int:
    """Delete the stack of a stage."""
    arguments = argparse.ArgumentParser(prog="python -m infra.destroy", description=main.__doc__)
    arguments.add_argument("--stage", default="dev")
    arguments.add_argument("--stack", help="name of the stack; foyer-STAGE, unless given")
    arguments.add_argument("--yes", action="store_true", help="do not ask")
    arguments.add_argument("--with-table", action="store_true", help="delete its table too, with all rows")
    given = arguments.parse_args()
    stack = given.stack or f"foyer-{given.stage}"
    try:
        if not given.yes and not confirmed(stack, given.with_table, input, sys.stdin.isatty()):
            print("nothing was deleted")
            return 1
        clients = deploy.session(os.environ)
        left = destroy(clients, stack, with_table=given.with_table, say=deploy.say)
    except (CannotDeploy, Failed) as why:
        print(f"foyer: {why}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as why:
        print(f"foyer: AWS: {why}", file=sys.stderr)
        return 1
    for name in left:
        print(f"kept: table {name} (aws dynamodb delete-table --table-name {name})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
