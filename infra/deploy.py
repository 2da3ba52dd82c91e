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
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import boto3
import localstack_client.session
from botocore.exceptions import BotoCoreError, ClientError

from infra import cloudfront, package, ready
from infra.children import Failed
from infra.emulator import CREDENTIALS, given_endpoint

LOOK_S = 1.0
LONGEST_S = 1800.0
LARGEST_TEMPLATE = 1_000_000  # of one in a bucket; a TemplateBody has 51,200
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
SECRET = "GatewaySecret"
FRONT: Final = "-front"
"""What the name of a stack with CloudFront ends in."""
ALL_PATHS: Final = "/_aws/execute-api/{api}/{stage}"
"""How an emulator's own paths to an API begin."""
NEVER_MADE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")


Say = Callable[[str], None]
"""Takes a line about how it goes."""


class CannotDeploy(Exception):
    """The stack is not what was asked for; the text is for a person."""


def quiet(line: str) -> None:
    """Nobody wants to know how it goes."""


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


def bucket_name(clients: Any, stack: str) -> str:
    """The name of a stack's bucket, which no other account has."""
    region = clients.client("s3").meta.region_name
    return f"{stack}-packages-{clients.client('sts').get_caller_identity()['Account']}-{region}"


def bucket_for_packages(clients: Any, stack: str) -> str:
    """The bucket that CloudFormation reads packages from, private and made when it is missing."""
    s3, name = clients.client("s3"), bucket_name(clients, stack)
    region = s3.meta.region_name
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


def body(template: Path, bucket: str, key: str, emulator: str = "") -> str:
    """The template with its code in the bucket.  Raises `CannotDeploy`.

    On an emulator, whose address is given, the APIs have other addresses than in AWS.
    """
    parsed = json.loads(template.read_text())
    for resource in parsed["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
            if emulator:
                emulated(resource["Properties"]["Environment"]["Variables"], emulator)
    if emulator:
        parsed.setdefault("Outputs", {})["ManagementEndpoint"] = {"Value": sockets_at(emulator)}
    text = json.dumps(parsed, separators=(",", ":"))
    if len(text) > LARGEST_TEMPLATE:
        raise CannotDeploy(f"the template has {len(text):,} bytes; CloudFormation takes {LARGEST_TEMPLATE:,}")
    return text


def sockets_at(emulator: str) -> dict[str, str]:
    """Where an emulator takes what is for sockets, as a template spells it."""
    sockets = ALL_PATHS.format(api="${WebsocketAPI}", stage="${Stage}")
    return {"Fn::Sub": f"{emulator.rstrip('/')}{sockets}"}


def emulated(variables: dict[str, Any], emulator: str) -> None:
    """Have a function find the sockets on an emulator, and know what clients type there."""
    variables["FOYER_API_ENDPOINT"] = sockets_at(emulator)
    variables.setdefault("LOOP_HAWK_PATH_PREFIXES", ALL_PATHS)


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


class Progress:
    """Says of each resource what CloudFormation has done with it, once."""

    def __init__(self, cloudformation: Any, stack: str, say: Say) -> None:
        self.cloudformation, self.stack, self.say = cloudformation, stack, say
        self.began = time.monotonic()
        self.seen: set[str] = set()
        if self.say is not quiet:
            self.seen.update(each["EventId"] for each in self._new())

    def look(self) -> None:
        """Say what is new."""
        if self.say is quiet:
            return
        for each in reversed(list(self._new())):
            self.seen.add(each["EventId"])
            self.say(self.line(each))

    def line(self, event: Mapping[str, Any]) -> str:
        """One event."""
        failed = event["ResourceStatus"].endswith("FAILED")
        reason = f": {event.get('ResourceStatusReason', '')}" if failed else ""
        return (
            f"{time.monotonic() - self.began:6.0f} s  {event['ResourceStatus']:<32}"
            f"{event['LogicalResourceId']:<36}{event['ResourceType']}{reason}"
        )

    def _new(self) -> Iterable[dict[str, Any]]:
        """What was not said yet, the newest first."""
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=self.stack)
        with contextlib.suppress(ClientError):  # the stack is not there yet, or no more
            for page in pages:
                for each in page["StackEvents"]:
                    if each["EventId"] in self.seen:
                        return
                    yield each


def changed(description: Mapping[str, Any]) -> str:
    """What a change set will do, in a few words."""
    counts: dict[str, int] = {}
    for each in description.get("Changes", []):
        action = each["ResourceChange"]["Action"].lower()
        counts[action] = counts.get(action, 0) + 1
    return ", ".join(f"{count} to {action}" for action, count in sorted(counts.items())) or "something"


def apply(
    cloudformation: Any,
    stack: str,
    template: str,
    given: Mapping[str, str | None],
    say: Say = quiet,
) -> None:
    """Make or change the stack by the template at this address, through a change set.

    Of the parameters `given` those that are `None` keep their value.  Raises `CannotDeploy`.
    """
    found = stack_status(cloudformation, stack)
    if found in NEVER_MADE:
        raise CannotDeploy(
            f"the stack is {found}, and CloudFormation changes it no more: first `make destroy`"
        )
    exists = found not in ("", "REVIEW_IN_PROGRESS")
    parameters: list[dict[str, Any]] = []
    for name, value in given.items():
        if value is not None:
            parameters.append({"ParameterKey": name, "ParameterValue": value})
        elif exists:
            parameters.append({"ParameterKey": name, "UsePreviousValue": True})
    change = f"deploy-{time.time_ns()}"
    say(f"{stack}: asking CloudFormation what there is to {'change' if exists else 'make'}")
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
            say(f"{stack}: nothing to change")
            return
        raise CannotDeploy(f"CloudFormation refuses the change: {reason}")
    if say is not quiet:
        say(f"{stack}: {changed(described())}")
    progress = Progress(cloudformation, stack, say)
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=change)
    status = settled(cloudformation, stack, progress)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise CannotDeploy(f"the stack is {status}: {reasons(cloudformation, stack)}")


def settled(cloudformation: Any, stack: str, progress: Progress) -> str:
    """The stack's status once nothing goes on any more; "" when it is gone.  Raises `CannotDeploy`."""

    def look() -> str:
        status = stack_status(cloudformation, stack)
        progress.look()
        return status

    return until(look, "the stack")


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


def deploy(
    folder: Path,
    stack: str,
    clients: Any,
    secret: str | None = None,
    *,
    emulator: str = "",
    say: Say = quiet,
) -> dict[str, str]:
    """Deploy the package in `folder`; the stack's outputs.  Raises `CannotDeploy`."""
    bucket = bucket_for_packages(clients, stack)
    code = (folder / package.CODE).read_bytes()
    say(f"{stack}: sending {len(code) / 1e6:.1f} MB to {bucket}")
    key = upload(clients, bucket, code, ".zip")
    text = body(folder / "sam.json", bucket, key, emulator)
    template = address(clients, bucket, upload(clients, bucket, text.encode(), ".json"))
    cloudformation = clients.client("cloudformation")
    apply(cloudformation, stack, template, {SECRET: secret}, say)
    return outputs(cloudformation, stack)


def deploy_front(
    clients: Any,
    stack: str,
    found: Mapping[str, str],
    given: Mapping[str, str | None],
    say: Say = quiet,
) -> dict[str, str]:
    """Put CloudFront in front of the APIs of a stack, whose outputs were `found`.  Raises `CannotDeploy`."""
    bucket = bucket_for_packages(clients, stack)
    template = address(clients, bucket, upload(clients, bucket, cloudfront.text().encode(), ".json"))
    apis = {"RestApi": found["RestAPIId"], "WebsocketApi": found["WebsocketAPIId"]}
    cloudformation = clients.client("cloudformation")
    apply(cloudformation, stack + FRONT, template, {**apis, **given}, say)
    return outputs(cloudformation, stack + FRONT)


def front_parameters(site: ready.Site, environ: Mapping[str, str]) -> dict[str, str | None]:
    """What CloudFront is told of the site; a domain that is not named this time stays as it was."""
    return {
        "ApiStage": site.stage,
        "QueueBasePath": site.base,
        "DomainName": environ.get("FRONT_DOMAIN"),
        "CertificateArn": environ.get("FRONT_CERTIFICATE"),
    }


def say(line: str) -> None:
    """Print a line at once: somebody watches."""
    print(line, flush=True)


def main() -> int:
    """Package a stage and deploy it."""
    arguments = argparse.ArgumentParser(prog="python -m infra.deploy", description=main.__doc__)
    arguments.add_argument("--stage", default="dev")
    arguments.add_argument("--stack", help="name of the stack; foyer-STAGE, unless given")
    arguments.add_argument("--front", action="store_true", help="and CloudFront in front of it")
    given = arguments.parse_args()
    stack = given.stack or f"foyer-{given.stage}"
    folder = package.BUILD / given.stage
    try:
        package.package(given.stage, folder)
        clients, emulator = session(os.environ), given_endpoint(os.environ)
        secret = os.environ.get("FOYER_GATEWAY_SECRET")
        found = deploy(folder, stack, clients, secret, emulator=emulator, say=say)
        settings = package.stages(package.ROOT)[given.stage]
        site = ready.site(stack, settings, given.stage, found, emulator, os.environ)
        if given.front:
            own = front_parameters(site, os.environ)
            site = site.behind(deploy_front(clients, stack, found, own, say)["Domain"])
    except (package.CannotPackage, CannotDeploy, Failed) as why:
        print(f"foyer: {why}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as why:
        print(f"foyer: AWS: {why}", file=sys.stderr)
        return 1
    say("")
    for name, value in sorted(found.items()):
        say(f"{name:<36}{value}")
    say("\n" + ready.text(site))
    return 0


if __name__ == "__main__":
    sys.exit(main())
