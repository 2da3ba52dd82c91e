"""`foyer doctor`: whether what the service needs is there, seen from here and with these credentials."""

import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import typer

from chalicelib.settings import NOT_OURS
from cli import config, http, output
from cli.errors import Failed, Misused
from cli.options import AsCurl, AsJson
from cli.target import Target, environment, of

OK: Final = "ok"
WARNING: Final = "warning"
ERROR: Final = "error"
SKIPPED: Final = "skipped"

WORRYING_S: Final = 5.0
NOBODY: Final = "doctor"
"""A partition that no row is ever in."""
DENIED: Final = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "AuthorizationError"),
        *("Forbidden", "ForbiddenException", "403"),
    }
)
UNKNOWN_CALLER: Final = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidSignatureException"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidAccessKeyId"),
    }
)
POLICY: Final = "add it to the policy of this role or user (.chalice/policy-*.json has what functions need)"
_URLS: Final = re.compile(r"(?:^|[,\n])\s*(keyserver|jwks|certs):\s*([^,\n]+)")


class Check(NamedTuple):
    """What was looked at, what came of it, and what to do."""

    level: str
    check: str
    says: str
    fix: str = ""


class Denied(Exception):
    """The action is not allowed; the text is what the service says."""


class Untried(Exception):
    """The call could not be made; the text says why."""


class Trouble(Exception):
    """The call failed for another reason; `fix` says what to do."""

    def __init__(self, says: str, fix: str = "") -> None:
        super().__init__(says)
        self.fix = fix


def doctor(
    context: typer.Context,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Also send a message that means nothing, and receive one.")
    ] = False,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Look for what is missing, and say how to mend it; exit status 1 if something is, or nothing was seen.

    The settings are those of the environment, or what the local stage wrote down; permissions are those of
    the credentials that the AWS SDK finds.  Nothing is changed.  --curl prints the request to the service;
    those to AWS and to addresses of keys are not printed.
    """
    target = of(context)
    if as_curl:
        output.verbatim(_ready(target).curl())
        return
    own = any(name.startswith(config.OURS) and name not in NOT_OURS for name in os.environ)
    local = _of_file(target)
    with environment(local):
        found = list(checks(target, thorough=thorough, configured=own or not local))
    bad = [each for each in found if each.level == ERROR]
    looked = any(each.level != SKIPPED and not each.check.startswith("setting") for each in found)
    if as_json:
        output.document({"ok": looked and not bad, "checks": [each._asdict() for each in found]})
    else:
        output.table(Check._fields, found, empty="nothing was looked at")
    if bad:
        raise Failed(f"{len(bad)} of {len(found)} checks failed")
    if not looked:
        raise Failed("neither service nor table was looked at: give --url, or set FOYER_TABLE")


def _ready(target: Target) -> http.Call:
    return http.Call("GET", f"{target.base}/readyz")


def _of_file(target: Target) -> dict[str, str]:
    """The settings that the local stage wrote down, beside those of its tokens."""
    from cli import tokens

    found = target.part("aws")
    if not found:
        return {}
    names = {
        "AWS_ENDPOINT_URL": "endpoint",
        "AWS_DEFAULT_REGION": "region",
        "FOYER_TABLE": "table",
        "FOYER_QUEUE_URL": "queue_url",
    }
    local = {name: str(found[key]) for name, key in names.items() if found.get(key)}
    if "AWS_ENDPOINT_URL" in local:
        local |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    return local | tokens.local_settings(target)


def checks(target: Target, *, thorough: bool, configured: bool) -> Iterator[Check]:
    """Every check; one that fails stops no other."""
    if configured:
        yield from _configuration()
    else:
        yield Check(SKIPPED, "settings", "none are set here; the local stage makes its own")
    yield from _service(target)
    yield from _keys()
    yield from _aws(thorough)


def _configuration() -> Iterator[Check]:
    environ: Mapping[str, str] = os.environ
    if elsewhere := sorted(config.references(environ)):
        try:
            environ = config.looked_up(environ)
        except Failed as why:
            fix = "are the parameters there, with ssm:GetParameters on them (and kms:Decrypt of their key)?"
            yield Check(ERROR, "settings in SSM", str(why), fix)
        else:
            yield Check(OK, "settings in SSM", ", ".join(elsewhere))
    found = config.check(environ)
    for each in found:
        if each.level == config.ERROR:
            yield Check(ERROR, f"setting {each.setting}", each.says, "see `foyer config check`")
    errors = sum(each.level == config.ERROR for each in found)
    if not errors:
        warnings = sum(each.level == config.WARNING for each in found)
        says = f"in order; {warnings} warnings of `foyer config check`" if warnings else "in order"
        yield Check(OK, "settings", says)


def _service(target: Target) -> Iterator[Check]:
    """Whether the service answers, can reach its storage, and has our time."""
    try:
        call = _ready(target)
    except Misused as why:
        yield Check(SKIPPED, "service", str(why))
        return
    began = time.time()
    try:
        answer = http.send(call)
    except Failed as why:
        fix = "is it running, and is the address right? --url or FOYER_URL"
        yield Check(ERROR, "service", str(why), fix)
        return
    middle = (began + time.time()) / 2
    read = answer.json()
    if answer.good and not (isinstance(read, dict) and "status" in read):
        fix = "is the address right? --url or FOYER_URL"
        yield Check(ERROR, "service", f"what answers at {target.base} is not Foyer", fix)
        return
    if answer.good:
        yield Check(OK, "service", f"{target.base} is ready")
    else:
        said = output.printable(read)[:200]
        fix = "it runs, and what it names does not answer; the checks of table and queue say more"
        yield Check(ERROR, "service", f"/readyz answers {answer.status}: {said}", fix)
    yield from clock("the service", answer.headers.get("date", ""), middle)


def clock(whose: str, date: str, ours: float) -> Iterator[Check]:
    """How far our clock is from somebody else's; a `Date` has whole seconds."""
    from chalicelib.loop import settings as loop
    from chalicelib.settings import BadSetting

    try:
        theirs = parsedate_to_datetime(date).timestamp() + 0.5
    except (TypeError, ValueError):
        yield Check(SKIPPED, f"clock of {whose}", "it tells no time")
        return
    try:
        refused = loop.get().hawk_skew
    except BadSetting:
        refused = loop.LoopSettings().hawk_skew
    away = theirs - ours
    level = OK if abs(away) < WORRYING_S else WARNING if abs(away) < refused / 2 else ERROR
    direction = "ahead of" if away > 0 else "behind"
    says = "the same as ours" if level == OK else f"{abs(away):.0f} s {direction} ours"
    fix = f"set both by NTP (timedatectl set-ntp true): signatures are refused from {refused} s on"
    yield Check(level, f"clock of {whose}", says, "" if level == OK else fix)


def _keys() -> Iterator[Check]:
    """Whether each address that keys come from gives an answer that has keys."""
    given: Mapping[str, str] = os.environ
    if set(config.KEY_SETTINGS) & config.references(given):
        try:
            given = config.looked_up(given)
        except Failed:
            return  # said already
    for name in config.KEY_SETTINGS:
        for kind, url in _URLS.findall(given.get(name, "")):
            yield key_source(f"{name} {kind}", kind, url.strip())


def key_source(name: str, kind: str, url: str) -> Check:
    """Whether keys can be had from an address."""
    from chalicelib import keysets
    from chalicelib.wire.bearer import BadKey

    tables = {"jwks": keysets.JwksUrl, "certs": keysets.CertMapUrl}
    try:
        source = tables[kind](url) if kind in tables else None
        keysets.KeyServer(url)
    except BadKey as why:
        return Check(ERROR, name, str(why), "give an https address")
    if source is None:
        return _key_server(name, url)
    try:
        answer = keysets.fetch(url)
    except keysets.FetchFailed as why:
        return Check(ERROR, name, f"{url}: {why}{_because(why)}", _network_fix(url))
    if answer.status != 200:
        return Check(ERROR, name, f"{url} answers {answer.status}", "is the address right?")
    try:
        read = source._read(answer.body)
    except BadKey as why:
        return Check(ERROR, name, f"{url}: {why}", "it has to have RSA keys, or certificates of them, by kid")
    return Check(OK, name, f"{len(read)} keys at {url}")


def _key_server(name: str, url: str) -> Check:
    """A key server has one document for each key, so that any answer at all shows that it is there."""
    from chalicelib import keysets

    try:
        answer = keysets.fetch(f"{url.rstrip('/')}/{'0' * 64}.pem")
    except keysets.FetchFailed as why:
        return Check(ERROR, name, f"{url}: {why}{_because(why)}", _network_fix(url))
    if answer.status >= 500:
        return Check(ERROR, name, f"{url} answers {answer.status}", "its operator can tell")
    return Check(OK, name, f"{url} answers")


def _because(why: BaseException) -> str:
    cause = why.__cause__
    while cause is not None and (cause.__cause__ or cause.__context__) is not None:
        if isinstance(cause, ssl.SSLError):
            break
        cause = cause.__cause__ or cause.__context__
    return f" ({http.reason(cause)})" if cause is not None else ""


def _network_fix(url: str) -> str:
    return f"can this machine reach {url.split('/')[2]}? In a VPC that takes a route to the Internet"


# Storage and what else is AWS's


@contextmanager
def _explained() -> Iterator[None]:
    """Have what the SDK raises say what is wrong.  Raises `Denied`, `Trouble`."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        NoRegionError,
    )

    try:
        yield
    except ClientError as error:
        code, status = _code(error)
        said = error.response.get("Error", {}).get("Message", "")
        if code in UNKNOWN_CALLER:
            raise Trouble(f"{code}: {said}", "the AWS credentials are wrong or over: renew them") from None
        if code in DENIED or (status == 403 and not code):
            raise Denied(said or code) from None
        if code in {"ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue"} or (
            "QueueDoesNotExist" in code
        ):
            raise Trouble("it is not there", "") from None
        raise Trouble(f"{code}: {said}") from None
    except NoCredentialsError:
        raise Trouble(
            "no AWS credentials", "set AWS_ACCESS_KEY_ID …, AWS_PROFILE, or give this machine a role"
        ) from None
    except NoRegionError:
        raise Trouble("no AWS region", "set AWS_DEFAULT_REGION") from None
    except EndpointConnectionError as error:
        raise Trouble(
            str(error),
            "is the address right (AWS_ENDPOINT_URL, FOYER_API_ENDPOINT), and does what it names run?",
        ) from None
    except BotoCoreError as error:
        raise Trouble(str(error)) from None


def _code(error: Any) -> tuple[str, int]:
    return (
        str(error.response.get("Error", {}).get("Code", "")),
        int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)),
    )


def _client(service: str, **options: Any) -> Any:
    from botocore.config import Config

    from chalicelib.store import aws

    with _explained():
        return aws.client(
            service,
            Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"}),
        )


def _aws(thorough: bool) -> Iterator[Check]:
    from chalicelib import settings
    from chalicelib.owt import settings as owt
    from chalicelib.settings import BadSetting

    if not any(name in os.environ for name in ("FOYER_TABLE", "FOYER_QUEUE_URL", "AWS_ENDPOINT_URL")):
        yield Check(
            SKIPPED,
            "table and queue",
            "which ones? Neither FOYER_TABLE nor FOYER_QUEUE_URL is set here",
            "set them, and the AWS credentials of the service",
        )
        return
    try:
        ours, conferences = settings.get(), owt.get()
    except BadSetting:
        yield Check(SKIPPED, "table and queue", "the settings are not in order")
        return
    parts: list[Callable[[], Iterator[Check]]] = [
        lambda: _table(ours.table),
        lambda: _queue(ours.queue_url, thorough),
    ]
    parts += [
        partial(_kms, key_id) for key_id in (conferences.kms_key_id, conferences.kms_key_id_also) if key_id
    ]
    if endpoint := ours.api_endpoint or _announced(ours.table):
        parts.append(lambda: _sockets(endpoint))
    for part in parts:
        try:
            yield from part()
        except Trouble as why:
            yield Check(ERROR, "AWS", str(why), why.fix)


def _table(name: str) -> Iterator[Check]:
    dynamodb = _client("dynamodb")
    began = time.time()
    try:
        with _explained():
            answer = dynamodb.describe_table(TableName=name)
    except Denied:
        says = "dynamodb:DescribeTable is not allowed, so its keys were not compared"
        yield Check(SKIPPED, f"table {name}", says, "functions do not need it; allow it to a person")
    except Trouble as why:
        fix = why.fix or "`make run` or `make deploy` makes it; is FOYER_TABLE or the region another one?"
        yield Check(ERROR, f"table {name}", str(why), fix)
        return
    else:
        yield from table_shape(name, answer["Table"])
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        yield from clock("DynamoDB", date, (began + time.time()) / 2)
        yield from _expiry(dynamodb, name)
    yield from _permissions(
        [(action, partial(call, dynamodb, name)) for action, call in TABLE_ACTIONS.items()]
    )


def table_shape(name: str, found: Mapping[str, Any]) -> Iterator[Check]:
    """Whether a table is as our rows need it."""
    from chalicelib.store.table import DUE_INDEX

    def keys(of: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(key["AttributeName"] for key in of.get("KeySchema", ()))

    indexes = {index["IndexName"]: index for index in found.get("GlobalSecondaryIndexes", ())}
    due = indexes.get(DUE_INDEX, {})
    anew = "it was not made by us: make another one (infra/resources.json), and name it in FOYER_TABLE"
    if found.get("TableStatus") != "ACTIVE":
        yield Check(ERROR, f"table {name}", f"it is {found.get('TableStatus')}", "wait, and look again")
    elif keys(found) != ("pk", "sk"):
        yield Check(ERROR, f"table {name}", f"its keys are {', '.join(keys(found))}", anew)
    elif keys(due) != ("due", "due_at"):
        says = f"it has no index {DUE_INDEX} of due and due_at"
        yield Check(ERROR, f"table {name}", says, "add it: infra/resources.json, GlobalSecondaryIndexes")
    elif due.get("Projection", {}).get("ProjectionType") != "ALL":
        says = f"the index {DUE_INDEX} does not project all attributes"
        yield Check(ERROR, f"table {name}", says, "make the index anew: infra/resources.json")
    else:
        yield Check(OK, f"table {name}", "there, with its keys and index")


def _expiry(dynamodb: Any, name: str) -> Iterator[Check]:
    try:
        with _explained():
            found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    except (Denied, Trouble):
        yield Check(SKIPPED, "expiry of rows", "dynamodb:DescribeTimeToLive is not allowed or not known")
        return
    on = (
        found.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
        and found.get("AttributeName") == "expires_at"
    )
    fix = f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification " + (
        "Enabled=true,AttributeName=expires_at"
    )
    says = "rows go by expires_at" if on else "old rows are never removed"
    yield Check(OK if on else ERROR, "expiry of rows", says, "" if on else fix)


KEY: Final = {"pk": {"S": NOBODY}, "sk": {"S": "-"}}
NEVER: Final = {"ConditionExpression": "attribute_exists(pk)"}
"""What holds of no row there, so that a write that is allowed is refused all the same."""


def _transact(dynamodb: Any, name: str) -> Any:
    check = {"ConditionCheck": {"TableName": name, "Key": KEY, **NEVER}}
    return dynamodb.transact_write_items(TransactItems=[check])


TABLE_ACTIONS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "dynamodb:GetItem": lambda db, name: db.get_item(TableName=name, Key=KEY),
    "dynamodb:BatchGetItem": lambda db, name: db.batch_get_item(RequestItems={name: {"Keys": [KEY]}}),
    "dynamodb:Query": lambda db, name: db.query(
        TableName=name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": KEY["pk"]},
    ),
    "dynamodb:Query on the index due": lambda db, name: db.query(
        TableName=name,
        IndexName="due",
        KeyConditionExpression="due = :due",
        ExpressionAttributeValues={":due": KEY["pk"]},
    ),
    "dynamodb:PutItem": lambda db, name: db.put_item(TableName=name, Item=KEY, **NEVER),
    "dynamodb:UpdateItem": lambda db, name: db.update_item(
        TableName=name,
        Key=KEY,
        UpdateExpression="SET expires_at = :now",
        ExpressionAttributeValues={":now": {"N": "1"}},
        **NEVER,
    ),
    "dynamodb:DeleteItem": lambda db, name: db.delete_item(TableName=name, Key=KEY, **NEVER),
    "dynamodb:BatchWriteItem": lambda db, name: db.batch_write_item(
        RequestItems={name: [{"DeleteRequest": {"Key": KEY}}]}
    ),
    "dynamodb:ConditionCheckItem": _transact,
}
HARMLESS: Final = frozenset(
    {
        *("ConditionalCheckFailedException", "TransactionCanceledException"),
        *("ReceiptHandleIsInvalid", "InvalidParameterValue", "InvalidReceiptHandle"),
        *("GoneException", "BadRequestException"),
    }
)
"""How those who may do something are told that it is of no avail."""


def _permissions(actions: list[tuple[str, Callable[[], Any]]], fix: str = POLICY) -> Iterator[Check]:
    allowed = []
    for action, call in actions:
        try:
            with _explained():
                _harmlessly(call)
        except Denied as why:
            yield Check(ERROR, "permission", f"{action} is missing: {why}", f"{action}: {fix}")
        except Trouble as why:
            yield Check(ERROR, "permission", f"{action}: {why}", why.fix)
        except Untried as why:
            yield Check(SKIPPED, "permission", f"{action}: {why}")
        else:
            allowed.append(action.partition(":")[2])
    if allowed:
        service = actions[0][0].partition(":")[0]
        yield Check(OK, f"permissions of {service}", ", ".join(allowed))


def _harmlessly(call: Callable[[], Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if _code(error)[0].removeprefix("AWS.SimpleQueueService.") not in HARMLESS:
            raise


def _queue(url: str, thorough: bool) -> Iterator[Check]:
    if not url:
        yield Check(
            WARNING,
            "queue",
            "there is none: what is owed waits for the sweep, up to a minute",
            "FOYER_QUEUE_URL",
        )
        return
    sqs = _client("sqs")
    name = url.rstrip("/").rpartition("/")[2]
    try:
        with _explained():
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    except Denied as why:
        yield Check(ERROR, "permission", f"sqs:GetQueueAttributes is missing: {why}", f"sqs: {POLICY}")
    except Trouble as why:
        fix = why.fix or "is FOYER_QUEUE_URL right, and of this region? `make run` or `make deploy` makes it"
        yield Check(ERROR, f"queue {name}", str(why), fix)
        return
    else:
        yield from queue_shape(name, found)
    handle = "AQEBd29ya2Vycw=="  # nobody was given this one
    actions: list[tuple[str, Callable[[], Any]]] = [
        (
            "sqs:ChangeMessageVisibility",
            lambda: sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0),
        ),
        ("sqs:DeleteMessage", lambda: sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)),
    ]
    if thorough:
        actions += [
            ("sqs:SendMessage", lambda: sqs.send_message(QueueUrl=url, MessageBody=_kick())),
            (
                "sqs:ReceiveMessage",
                lambda: sqs.receive_message(
                    QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=0, WaitTimeSeconds=0
                ),
            ),
        ]
    else:
        yield Check(SKIPPED, "permission", "sqs:SendMessage and sqs:ReceiveMessage", "--thorough tries them")
    yield from _permissions(actions)


def _kick() -> str:
    """A kick for a row that is not there: `work` looks for it, and has nothing to do."""
    from chalicelib.jitsi import store
    from chalicelib.outbox import kicks
    from chalicelib.store.keys import Key

    return kicks.spell(store.RELEASE, Key(NOBODY, "-"))


def queue_shape(name: str, found: Mapping[str, str]) -> Iterator[Check]:
    """Whether a queue is as `work` needs it."""
    hidden, needed = int(found.get("VisibilityTimeout", 0)), 60
    if hidden < needed:
        says = f"messages come again after {hidden} s, and work may take {needed} s"
        fix = f"aws sqs set-queue-attributes --queue-url … --attributes VisibilityTimeout={3 * needed}"
        yield Check(WARNING, f"queue {name}", says, fix)
    elif "RedrivePolicy" not in found:
        says = "it has no dead-letter queue: a message that cannot be served comes again for ever"
        yield Check(WARNING, f"queue {name}", says, "infra/resources.json, WorkQueue, RedrivePolicy")
    else:
        waits = found.get("ApproximateNumberOfMessages", "0")
        yield Check(OK, f"queue {name}", f"there, with its dead-letter queue; about {waits} messages wait")


def _kms(key_id: str) -> Iterator[Check]:
    from chalicelib.owt import vault

    kms = _client("kms")
    kept: dict[str, Any] = {}

    def make() -> None:
        kept.update(kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=vault.CONTEXT))

    def opened() -> None:
        if not kept:
            raise Untried("there is nothing to open without what kms:GenerateDataKey makes")
        kms.decrypt(KeyId=key_id, CiphertextBlob=kept["CiphertextBlob"], EncryptionContext=vault.CONTEXT)

    yield from _permissions([("kms:GenerateDataKey", make), ("kms:Decrypt", opened)])


def _announced(table: str) -> str:
    """The API Gateway of a stack that shares the table: who serves beside it has to reach its sockets."""
    from chalicelib.realtime import fronts
    from chalicelib.store import keys

    pk, sk = keys.front(fronts.API_GATEWAY)
    try:
        with _explained():
            answer = _client("dynamodb").get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
    except (Denied, Trouble):
        return ""  # the check of the table says it
    found = answer.get("Item")
    return str(found["endpoint"]["S"]) if found and float(found["alive_until"]["N"]) > time.time() else ""


def _sockets(endpoint: str) -> Iterator[Check]:
    from botocore.config import Config

    from chalicelib.store import aws

    with _explained():
        made = aws.session().create_client(
            "apigatewaymanagementapi",
            endpoint_url=endpoint,
            config=Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1}),
        )
    yield from _permissions(
        [("execute-api:ManageConnections", lambda: made.get_connection(ConnectionId="AAAAAAAAAAAAAAA="))],
        f"{POLICY}, or is the stage in FOYER_API_ENDPOINT another one?",
    )
