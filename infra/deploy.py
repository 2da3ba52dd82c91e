"""`make deploy`: the package of a stage becomes a CloudFormation stack, or changes it.

With `AWS_ENDPOINT_URL` or `LOCALSTACK_HOST` it goes to that emulator, else to the account of the credentials.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import localstack_client.session
from botocore.exceptions import BotoCoreError, ClientError

from infra import package
from infra.children import Failed
from infra.emulator import CREDENTIALS, given_endpoint

LOOK_S = 1.0
LONGEST_S = 1800.0
LARGEST_TEMPLATE = 1_000_000  # of one in a bucket; a TemplateBody has 51,200
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
SECRET = "GatewaySecret"
NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")


class CannotDeploy(Exception):
    """The stack is not what was asked for; the text is for a person."""


def session(environ: Mapping[str, str]) -> Any:
    """What makes SDK clients: LocalStack's session where an endpoint is given, else the SDK's own."""
    if not given_endpoint(environ):
        return boto3.session.Session()
    named = CREDENTIALS | {name: environ[name] for name in CREDENTIALS if environ.get(name)}
    return localstack_client.session.Session(
        aws_access_key_id=named["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=named["AWS_SECRET_ACCESS_KEY"],
        region_name=named["AWS_DEFAULT_REGION"],
    )


def bucket_for_packages(clients: Any, stack: str) -> str:
    """The bucket that CloudFormation reads packages from, private and made when it is missing."""
    sts, s3 = clients.client("sts"), clients.client("s3")
    region = s3.meta.region_name
    name = f"{stack}-packages-{sts.get_caller_identity()['Account']}-{region}"
    try:
        s3.head_bucket(Bucket=name)
    except ClientError:
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
        switches = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(switches, True))
    return name


def upload(clients: Any, bucket: str, content: bytes, suffix: str) -> str:
    """Put a file under the name of its content; the name."""
    key = f"{hashlib.sha256(content).hexdigest()}{suffix}"
    clients.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    return key


def address(clients: Any, bucket: str, key: str) -> str:
    """Where CloudFormation finds a file of the bucket."""
    return f"{clients.client('s3').meta.endpoint_url.rstrip('/')}/{bucket}/{key}"


def body(template: Path, bucket: str, key: str) -> str:
    """The template with its code in the bucket.  Raises `CannotDeploy`."""
    parsed = json.loads(template.read_text())
    for resource in parsed["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
    text = json.dumps(parsed, separators=(",", ":"))
    if len(text) > LARGEST_TEMPLATE:
        raise CannotDeploy(f"the template has {len(text):,} bytes; CloudFormation takes {LARGEST_TEMPLATE:,}")
    return text


def until(ended: Callable[[], str], what: str) -> str:
    """Wait for a status that does not say that something is still going on.  Raises `CannotDeploy`."""
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        status = ended()
        if not status.endswith(("IN_PROGRESS", "PENDING")):
            return status
        time.sleep(LOOK_S)
    raise CannotDeploy(f"{what} has not ended in {LONGEST_S / 60:.0f} minutes")


def stack_status(cloudformation: Any, stack: str) -> str:
    """The stack's status; "" where there is none."""
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise
    return str(found[0]["StackStatus"])


def apply(cloudformation: Any, stack: str, template: str, secret: str | None) -> None:
    """Make or change the stack by the template at this address, through a change set.

    Raises `CannotDeploy`.
    """
    exists = stack_status(cloudformation, stack) not in ("", "REVIEW_IN_PROGRESS")
    parameters: list[dict[str, Any]] = []
    if secret is not None:
        parameters = [{"ParameterKey": SECRET, "ParameterValue": secret}]
    elif exists:
        parameters = [{"ParameterKey": SECRET, "UsePreviousValue": True}]
    change = f"deploy-{time.time_ns()}"
    # The SDK repeats a call whose answer was lost; nobody but this run makes a change set of this name.
    with contextlib.suppress(cloudformation.exceptions.AlreadyExistsException):
        cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName=change,
            ChangeSetType="UPDATE" if exists else "CREATE",
            TemplateURL=template,
            Parameters=parameters,
            Capabilities=list(CAPABILITIES),
        )

    def described() -> dict[str, Any]:
        found: dict[str, Any] = cloudformation.describe_change_set(StackName=stack, ChangeSetName=change)
        return found

    if until(lambda: str(described()["Status"]), "the change set") != "CREATE_COMPLETE":
        reason = str(described().get("StatusReason", ""))
        if any(text in reason for text in NOTHING_TO_DO):
            cloudformation.delete_change_set(StackName=stack, ChangeSetName=change)
            return
        raise CannotDeploy(f"CloudFormation refuses the change: {reason}")
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=change)
    status = until(lambda: stack_status(cloudformation, stack), "the stack")
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise CannotDeploy(f"the stack is {status}: {reasons(cloudformation, stack)}")


def reasons(cloudformation: Any, stack: str) -> str:
    """What CloudFormation says of the resources that failed."""
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [each for each in events if each["ResourceStatus"].endswith("FAILED")]
    return "; ".join(
        f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in failed[:5]
    )


def outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    """What the stack says of itself."""
    (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def deploy(folder: Path, stack: str, clients: Any, secret: str | None = None) -> dict[str, str]:
    """Deploy the package in `folder`; the stack's outputs.  Raises `CannotDeploy`."""
    bucket = bucket_for_packages(clients, stack)
    key = upload(clients, bucket, (folder / package.CODE).read_bytes(), ".zip")
    text = body(folder / "sam.json", bucket, key)
    template = address(clients, bucket, upload(clients, bucket, text.encode(), ".json"))
    cloudformation = clients.client("cloudformation")
    apply(cloudformation, stack, template, secret)
    return outputs(cloudformation, stack)


def main() -> int:
    """Package a stage and deploy it."""
    arguments = argparse.ArgumentParser(prog="python -m infra.deploy", description=main.__doc__)
    arguments.add_argument("--stage", default="dev")
    arguments.add_argument("--stack", help="name of the stack; foyer-STAGE, unless given")
    given = arguments.parse_args()
    folder = package.BUILD / given.stage
    try:
        package.package(given.stage, folder)
        secret = os.environ.get("FOYER_GATEWAY_SECRET")
        found = deploy(folder, given.stack or f"foyer-{given.stage}", session(os.environ), secret)
    except (package.CannotPackage, CannotDeploy, Failed) as why:
        print(f"foyer: {why}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as why:
        print(f"foyer: AWS: {why}", file=sys.stderr)
        return 1
    for name, value in sorted(found.items()):
        print(f"{name:<36}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
