"""One domain for both APIs of a stack: the template of a CloudFront distribution in front of it.

API Gateway shows WebSocket handlers no path, so the distribution rewrites by the gateway's own table.
`python -m infra.cloudfront` writes infra/cloudfront.json anew; a test fails when the file is another.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from infra.gateway import events

TEMPLATE: Final = Path(__file__).with_suffix(".json")
BASES: Final = {"JITSI_QUEUE_BASE_PATH": "QueueBasePath"}
"""Setting of a base path -> the template's parameter."""
SOCKETS, REST = "sockets", "rest"
HTTP_API_METHODS: Final = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
LONGEST_ANSWER_S: Final = 35  # API Gateway gives up after 29

FUNCTION = """\
// Path of a WebSocket request -> `endpoint`, which tells the handlers of it; made by infra/cloudfront.py.
var endpoints = {
%s
};

function plain(name) {
  try {
    return decodeURIComponent(name);
  } catch (error) {
    return name;
  }
}

function handler(event) {
  var request = event.request;
  var endpoint = endpoints[request.uri];
  Object.keys(request.querystring).forEach(function (name) {
    if (plain(name) === '%s') {
      delete request.querystring[name];
    }
  });
  if (endpoint) {
    request.querystring.%s = { value: endpoint };
  }
  request.uri = '/${ApiStage}';
  return request;
}
"""


def paths() -> Iterator[tuple[str, str]]:
    """Each path of a WebSocket request with the template's parameters in it, and its `endpoint`."""
    for entry in events.REWRITES:
        base = f"${{{BASES[entry.setting]}}}" if entry.setting else entry.base
        yield from ((base + suffix, suffix) for suffix in entry.suffixes)


def code() -> str:
    """The function that rewrites requests; `${...}` in it are the template's parameters."""
    rows = ",\n".join(f"  '{path}': '{quote(endpoint, safe='')}'" for path, endpoint in paths())
    return FUNCTION % (rows, events.ENDPOINT, events.ENDPOINT)


def _text(pattern: str, description: str, default: str | None = None) -> dict[str, Any]:
    given = {} if default is None else {"Default": default}
    return {"Type": "String", **given, "AllowedPattern": pattern, "Description": description}


def _given(parameter: str) -> dict[str, Any]:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def _origin(name: str, api: str, path: str = "") -> dict[str, Any]:
    return {
        "Id": name,
        "DomainName": {"Fn::Sub": f"${{{api}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}"},
        **({"OriginPath": {"Fn::Sub": path}} if path else {}),
        "CustomOriginConfig": {
            "OriginProtocolPolicy": "https-only",
            "OriginSSLProtocols": ["TLSv1.2"],
            "OriginReadTimeout": LONGEST_ANSWER_S,
        },
    }


def _behavior(origin: str, methods: list[str]) -> dict[str, Any]:
    return {
        "TargetOriginId": origin,
        "ViewerProtocolPolicy": "https-only",
        "AllowedMethods": methods,
        "Compress": False,
        "CachePolicyId": {"Ref": "NothingIsCached"},
        "OriginRequestPolicyId": {"Ref": "AllButHost"},
    }


def _sockets() -> Iterator[dict[str, Any]]:
    rewrite = {"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["Rewrite", "FunctionARN"]}}
    for path, _ in paths():
        pattern = {"PathPattern": {"Fn::Sub": path} if "${" in path else path}
        yield pattern | _behavior(SOCKETS, ["GET", "HEAD"]) | {"FunctionAssociations": [rewrite]}


def template() -> dict[str, Any]:
    """The template."""
    none = {"CookieBehavior": "none"}
    own_name = {"Fn::If": ["HasDomain", [{"Ref": "DomainName"}], {"Ref": "AWS::NoValue"}]}
    own_certificate = {
        "AcmCertificateArn": {"Ref": "CertificateArn"},
        "SslSupportMethod": "sni-only",
        "MinimumProtocolVersion": "TLSv1.2_2021",
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "One domain for both APIs of a Foyer stack; made by infra/cloudfront.py",
        "Parameters": {
            "RestApi": _text("[a-z0-9]+", "Output RestAPIId of the stack"),
            "WebsocketApi": _text("[a-z0-9]+", "Output WebsocketAPIId of the stack"),
            "ApiStage": _text("[A-Za-z0-9_-]+", "The stage of both APIs"),
            "QueueBasePath": _text(
                "(/[A-Za-z0-9_.~-]+)*", "JITSI_QUEUE_BASE_PATH of the stack", "/waiting-queue"
            ),
            "DomainName": _text("[A-Za-z0-9.-]*", "A domain of your own; empty: one of cloudfront.net", ""),
            "CertificateArn": _text(
                "(arn:[A-Za-z0-9:/_-]+)?",
                "Its certificate in ACM, in us-east-1; empty without a domain of your own",
                "",
            ),
        },
        "Conditions": {"HasDomain": {"Fn::And": [_given("DomainName"), _given("CertificateArn")]}},
        "Rules": {
            "DomainAndCertificate": {
                "RuleCondition": _given("DomainName"),
                "Assertions": [
                    {
                        "Assert": _given("CertificateArn"),
                        "AssertDescription": "A domain of your own needs CertificateArn",
                    }
                ],
            }
        },
        "Resources": {
            "NothingIsCached": {
                "Type": "AWS::CloudFront::CachePolicy",
                "Properties": {
                    "CachePolicyConfig": {
                        "Name": {"Fn::Sub": "${AWS::StackName}-nothing"},
                        "DefaultTTL": 0,
                        "MaxTTL": 0,
                        "MinTTL": 0,
                        "ParametersInCacheKeyAndForwardedToOrigin": {
                            "CookiesConfig": none,
                            "EnableAcceptEncodingGzip": False,
                            "HeadersConfig": {"HeaderBehavior": "none"},
                            "QueryStringsConfig": {"QueryStringBehavior": "none"},
                        },
                    }
                },
            },
            "AllButHost": {
                "Type": "AWS::CloudFront::OriginRequestPolicy",
                "Properties": {
                    "OriginRequestPolicyConfig": {
                        "Name": {"Fn::Sub": "${AWS::StackName}-all-but-host"},
                        "CookiesConfig": {"CookieBehavior": "all"},
                        # Also Sec-WebSocket-* and Authorization. The APIs know their own names only.
                        "HeadersConfig": {"HeaderBehavior": "allExcept", "Headers": ["Host"]},
                        "QueryStringsConfig": {"QueryStringBehavior": "all"},
                    }
                },
            },
            "Rewrite": {
                "Type": "AWS::CloudFront::Function",
                "Properties": {
                    "Name": {"Fn::Sub": "${AWS::StackName}-rewrite"},
                    "AutoPublish": True,
                    "FunctionCode": {"Fn::Sub": code()},
                    "FunctionConfig": {
                        "Comment": "Paths of WebSocket requests",
                        "Runtime": "cloudfront-js-2.0",
                    },
                },
            },
            "Distribution": {
                "Type": "AWS::CloudFront::Distribution",
                "Properties": {
                    "DistributionConfig": {
                        "Enabled": True,
                        "Comment": {"Ref": "AWS::StackName"},
                        "HttpVersion": "http2and3",
                        "IPV6Enabled": True,
                        "Aliases": own_name,
                        "ViewerCertificate": {
                            "Fn::If": [
                                "HasDomain",
                                own_certificate,
                                {"CloudFrontDefaultCertificate": True},
                            ]
                        },
                        "Origins": [
                            _origin(REST, "RestApi", "/${ApiStage}"),
                            _origin(SOCKETS, "WebsocketApi"),
                        ],
                        "DefaultCacheBehavior": _behavior(REST, HTTP_API_METHODS),
                        "CacheBehaviors": list(_sockets()),
                    }
                },
            },
        },
        "Outputs": {
            "DistributionDomain": {"Value": {"Fn::GetAtt": ["Distribution", "DomainName"]}},
            "Domain": {
                "Value": {
                    "Fn::If": [
                        "HasDomain",
                        {"Ref": "DomainName"},
                        {"Fn::GetAtt": ["Distribution", "DomainName"]},
                    ]
                }
            },
        },
    }


def text() -> str:
    """The template as the file has it."""
    return json.dumps(template(), indent=2) + "\n"


def main() -> int:
    """Write the file."""
    TEMPLATE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
