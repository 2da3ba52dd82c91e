"""The table and the queue of resources.json, made where they are missing; what is there is left alone."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

TEMPLATE = Path(__file__).with_name("resources.json")
CONFIG = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2})


# What the SDK raises where an endpoint does not answer, or not as DynamoDB and SQS do.
Unusable = (BotoCoreError, ClientError)
# How endpoints that are not AWS refuse an operation that they do not have.
UNKNOWN = frozenset({"UnknownOperationException", "UnsupportedOperationException", "ValidationException"})


@cache
def template() -> dict[str, Any]:
    """resources.json."""
    parsed: dict[str, Any] = json.loads(TEMPLATE.read_text())
    return parsed


def properties(logical_id: str) -> dict[str, Any]:
    """The properties of one resource."""
    found: dict[str, Any] = template()["Resources"][logical_id]["Properties"]
    return found


def client(service: str, endpoint: str, environ: Mapping[str, str]) -> Any:
    """An SDK client for our own emulator at `endpoint`."""
    session = boto3.session.Session(**_identity(environ))
    return session.client(service, endpoint_url=endpoint, config=CONFIG)


def client_of_given_endpoint(service: str, environ: Mapping[str, str]) -> Any:
    """An SDK client for the endpoint that the process's environment names, as LocalStack's tools find it."""
    import localstack_client.session  # for development: a container has none

    return localstack_client.session.Session(**_identity(environ)).client(service, config=CONFIG)


def _identity(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environ["AWS_SECRET_ACCESS_KEY"],
        "region_name": environ["AWS_DEFAULT_REGION"],
    }


def table_request(name: str) -> dict[str, Any]:
    """The `CreateTable` call that `Table` stands for."""
    same = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {"TableName": name} | {key: properties("Table")[key] for key in same}


def queue_request(logical_id: str, name: str, *, dead_letters: str = "") -> dict[str, Any]:
    """The `CreateQueue` call that a queue stands for; `dead_letters` is the ARN its redrive policy names."""
    attributes = {
        key: json.dumps(value) for key, value in properties(logical_id).items() if key != "RedrivePolicy"
    }
    policy = properties(logical_id).get("RedrivePolicy")
    if policy:
        attributes["RedrivePolicy"] = json.dumps(policy | {"deadLetterTargetArn": dead_letters})
    return {"QueueName": name, "Attributes": attributes}


def ensure_table(dynamodb: Any, name: str) -> bool:
    """Make the table unless it exists, and have its rows expire; `False` where the endpoint cannot do that.

    An earlier run may have ended between the two.
    """
    try:
        dynamodb.create_table(**table_request(name))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    try:
        found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if found["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
            dynamodb.update_time_to_live(
                TableName=name, TimeToLiveSpecification=properties("Table")["TimeToLiveSpecification"]
            )
    except ClientError as error:
        if error.response["Error"]["Code"] in UNKNOWN:
            return False
        raise
    return True


def ensure_queue(sqs: Any, name: str) -> str:
    """Make the queue and its dead letters unless they exist; the queue's URL."""
    try:
        url: str = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        return url
    except ClientError as error:
        if "NonExistentQueue" not in error.response["Error"]["Code"] and "QueueDoesNotExist" not in str(
            error
        ):
            raise
    dead = sqs.create_queue(**queue_request("WorkDeadLetters", f"{name}-dead"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    made: str = sqs.create_queue(**queue_request("WorkQueue", name, dead_letters=arn))["QueueUrl"]
    return made
