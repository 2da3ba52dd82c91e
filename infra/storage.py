"""`python -m infra.storage`: the table and the queue where no stack makes them; what is there is left alone.

It goes to AWS, or to the DynamoDB- and SQS-compatible endpoints that `AWS_ENDPOINT_URL` names, and prints
the two settings that lead there.
"""

import argparse
import os
import sys
from typing import Any

import boto3
from botocore.exceptions import ClientError

from chalicelib import references, settings
from chalicelib.store import aws
from infra import resources


def back_up(dynamodb: Any, table: str) -> bool:
    """Switch point-in-time recovery on; `False` where the endpoint has none."""
    try:
        dynamodb.update_continuous_backups(
            TableName=table,
            PointInTimeRecoverySpecification=resources.properties("Table")[
                "PointInTimeRecoverySpecification"
            ],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in resources.UNKNOWN:
            return False
        raise
    return True


def main() -> int:
    """Make what is missing; 2 where a person has to change something."""
    arguments = argparse.ArgumentParser(prog="python -m infra.storage", description=__doc__)
    arguments.add_argument("--queue", help="name of the queue; the table's and `-work`, unless given")
    given = arguments.parse_args()
    references.begin()
    try:
        os.environ.setdefault("AWS_DEFAULT_REGION", aws.region())
        table = settings.get().table
        dynamodb, sqs = (boto3.client(name, config=resources.CONFIG) for name in ("dynamodb", "sqs"))
        expires = resources.ensure_table(dynamodb, table)
        backed_up = back_up(dynamodb, table)
        queue_url = resources.ensure_queue(sqs, given.queue or f"{table}-work")
    except (*resources.Unusable, settings.BadSetting) as why:
        sys.stderr.write(f"foyer: {why}\n")
        return 2
    if not expires:
        sys.stderr.write("foyer: this endpoint has no time to live: rows that expired are yours to delete\n")
    if not backed_up:
        sys.stderr.write("foyer: this endpoint has no point-in-time recovery: backups are yours to make\n")
    sys.stdout.write(f"FOYER_TABLE={table}\nFOYER_QUEUE_URL={queue_url}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
