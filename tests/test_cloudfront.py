"""One domain for both APIs: what CloudFront would send is what the gateway tells the handlers."""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from infra import cloudfront, package
from infra.gateway import events
from infra.gateway.events import Peer
from tests.support.node import executable

STAGE = "prod"
BASES = ("/waiting-queue", "", "/a/b.c")
QUERIES = ("", "room=a%20b", "x=1&x=2", "endpoint=/state", "%65ndpoint=/state&y=", "jwt=a.b-c_d&z=%E4%BA%BA")
RUN = """
const { readFileSync } = require('node:fs');
const { code, requests } = JSON.parse(readFileSync(0, 'utf8'));
const handler = new Function(`${code}; return handler;`)();
console.log(JSON.stringify(requests.map((request) => handler({ request }))));
"""


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cloudfront.TEMPLATE.read_text())
    return found


def filled(text: str, base: str) -> str:
    """What `Fn::Sub` makes of a text."""
    return text.replace("${QueueBasePath}", base).replace("${ApiStage}", STAGE)


def asked(path: str, query: str) -> dict[str, Any]:
    """A request as CloudFront shows it to a function, which is with nothing decoded."""
    found: dict[str, Any] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        known = found.setdefault(name, {"value": value, "multiValue": []})
        known["multiValue"].append({"value": value})
    for each in found.values():
        if len(each["multiValue"]) == 1:
            del each["multiValue"]
    return {"method": "GET", "uri": path, "querystring": found, "headers": {}, "cookies": {}}


def spelled(querystring: dict[str, Any]) -> str:
    """The query that CloudFront sends for what a function left."""
    pairs = [
        (name, value["value"])
        for name, given in querystring.items()
        for value in given.get("multiValue", [given])
    ]
    return "&".join(f"{name}={value}" for name, value in pairs)


def rewritten(requests: list[dict[str, Any]], base: str, code: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [executable("node"), "-e", RUN],
        input=json.dumps({"code": filled(code, base), "requests": requests}),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("base", BASES)
def test_handlers_are_told_the_same_by_both_fronts(template: dict[str, Any], base: str):
    code = template["Resources"]["Rewrite"]["Properties"]["FunctionCode"]["Fn::Sub"]
    served = events.rewrites({"JITSI_QUEUE_BASE_PATH": base})
    cases = [(path, query) for path in served for query in QUERIES]
    answers = rewritten([asked(*case) for case in cases], base, code)
    for (path, query), answer in zip(cases, answers, strict=True):
        ours = events.connect("id", Peer("127.0.0.1", "", ""), 0, STAGE, "api", [], query, served[path])
        single, many = events.query(spelled(answer["querystring"]))
        assert answer["uri"] == f"/{STAGE}"
        assert single == ours["queryStringParameters"], (path, query)
        assert many == ours["multiValueQueryStringParameters"], (path, query)


def test_a_path_that_is_no_socket_s_has_no_endpoint(template: dict[str, Any]):
    code = template["Resources"]["Rewrite"]["Properties"]["FunctionCode"]["Fn::Sub"]
    (answer,) = rewritten([asked("/elsewhere", urlencode({"endpoint": "/state"}))], "", code)

    assert answer["querystring"] == {}


@pytest.mark.parametrize("base", BASES)
def test_each_path_of_the_table_goes_to_the_sockets_and_no_other(template: dict[str, Any], base: str):
    config = template["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    patterns = [each["PathPattern"] for each in config["CacheBehaviors"]]
    paths = [filled(each if isinstance(each, str) else each["Fn::Sub"], base) for each in patterns]

    assert sorted(paths) == sorted(events.rewrites({"JITSI_QUEUE_BASE_PATH": base}))
    assert {each["TargetOriginId"] for each in config["CacheBehaviors"]} == {"sockets"}
    assert config["DefaultCacheBehavior"]["TargetOriginId"] == "rest"
    assert len(paths) <= 25


def test_nothing_is_cached_and_all_but_the_host_is_handed_on(template: dict[str, Any]):
    resources = template["Resources"]
    config = resources["Distribution"]["Properties"]["DistributionConfig"]
    cache = resources["NothingIsCached"]["Properties"]["CachePolicyConfig"]
    request = resources["AllButHost"]["Properties"]["OriginRequestPolicyConfig"]

    for each in (config["DefaultCacheBehavior"], *config["CacheBehaviors"]):
        assert each["CachePolicyId"] == {"Ref": "NothingIsCached"}
        assert each["OriginRequestPolicyId"] == {"Ref": "AllButHost"}
        assert each["ViewerProtocolPolicy"] == "https-only"
    assert [cache[name] for name in ("MinTTL", "DefaultTTL", "MaxTTL")] == [0, 0, 0]
    assert request["HeadersConfig"] == {"HeaderBehavior": "allExcept", "Headers": ["Host"]}
    assert request["QueryStringsConfig"] == {"QueryStringBehavior": "all"}


def test_the_function_is_small_enough(template: dict[str, Any]):
    code = template["Resources"]["Rewrite"]["Properties"]["FunctionCode"]["Fn::Sub"]

    assert len(code.encode()) <= 10_240


def test_without_a_domain_of_one_s_own_none_needs_to_be_named(template: dict[str, Any]):
    parameters = template["Parameters"]

    assert {name for name, each in parameters.items() if "Default" not in each} == {
        "RestApi",
        "WebsocketApi",
        "ApiStage",
    }
    assert parameters["DomainName"]["Default"] == parameters["CertificateArn"]["Default"] == ""


def test_the_file_is_what_the_table_makes():
    assert cloudfront.TEMPLATE.read_text() == cloudfront.text(), (
        ".venv/bin/python -m infra.cloudfront writes it anew"
    )


def test_cfn_lint_finds_nothing(tmp_path: Path):
    package.lint([cloudfront.TEMPLATE])
