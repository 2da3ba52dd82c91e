"""Signed posts a second and core: our `@connections` client beside boto3's, against nginx that answers 200.

Each measurement runs in a process of its own, and "per core" means per second of that process's CPU time,
both threads of ours counted.  The rounds are interleaved, so that a busy machine disturbs both sides alike.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bench import common
from bench.common import Child, Report

TITLE: Final = "Fan-out through @connections"
REGION: Final = "eu-west-1"
TOKEN: Final = "IQoJb3JpZ2luX2VjE" + "A1b2/" * 160
"""As long as the session token of a Lambda function."""
WARMING: Final = 300
BODY: Final = (
    "MESSAGE\ndestination:/secured/conference/visitor/topic.room1@conference.example.com\nsubscription:sub-0\n"
    "message-id:01J9ZC6T1V4Q{}\ncontent-type:application/json\ncontent-length:83\n\n"
    '{{"conference":"room1@conference.example.com","status":"live","randomDelayMs":12000}}\0'
)
NGINX: Final = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 1024; }}
http {{
  log_format arrival '$msec'; access_log off; keepalive_requests 1000000000; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /paced/ {{ access_log {folder}/arrivals arrival; return 200; }}
    location = /@bulk {{ return 200 '{{}}'; }}
    location / {{ return 200; }}
  }}
}}
"""


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """All figures of the fan-out's client."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if nginx is None:
        report.note("nothing measured: nginx is not installed (Debian: apt-get install nginx-light)")
        return
    with tempfile.TemporaryDirectory(prefix="fanout-") as name:
        folder, port = Path(name), common.free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        command = [nginx, "-p", str(folder), "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")]
        with Child(command, port, log=folder / "log") as server:
            version = subprocess.run(
                [nginx, "-v"], capture_output=True, text=True, check=False
            ).stderr.strip()
            report.note(
                f"against {version.partition(': ')[2]}, one process, `return 200`; plain asyncio, no uvloop"
            )
            throughput(report, server, arguments)
            pace(report, server, arguments.rate, folder / "arrivals")
            memory(report, server)


def throughput(report: Report, server: Child, arguments: argparse.Namespace) -> None:
    """Posts per CPU second: ours in its variants, boto3's client between them."""
    variants = {
        "ours": ["ours"],
        "ours, as in Lambda": ["ours", "--token"],
        "ours, every text another": ["ours", "--distinct"],
        "ours, to a gateway": ["gateway"],
        "ours, to a gateway in bulk": ["bulk"],
        "boto3": ["boto3"],
        "boto3, as in Lambda": ["boto3", "--token"],
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for number in range(arguments.rounds):
        for name, options in variants.items():
            common.progress(f"round {number + 1} of {arguments.rounds}: {name}")
            count = arguments.boto3_posts if options[0] == "boto3" else arguments.posts
            before = server.cpu_s()
            one = worker(*options, "--posts", str(count), "--port", str(server.port))
            runs[name].append(one | {"server_cpu_s": server.cpu_s() - before})

    def per_core(name: str) -> list[float]:
        return [one["posts"] / one["cpu_s"] for one in runs[name]]

    goals = {"ours": 10_000, "ours, as in Lambda": 10_000}
    for name in variants:
        report.figure(name, common.middle(per_core(name)), "posts/s/core", at_least=goals.get(name))
    for ours, theirs in (("ours", "boto3"), ("ours, as in Lambda", "boto3, as in Lambda")):
        ratios = [a / b for a, b in zip(per_core(ours), per_core(theirs), strict=True)]
        report.figure(f"{ours} : {theirs}", common.middle(ratios), "times", at_least=10)
    report.figure(
        "ours, by the clock", common.middle([one["posts"] / one["wall_s"] for one in runs["ours"]]), "posts/s"
    )
    report.figure(
        "nginx's own part",
        common.middle([one["server_cpu_s"] / one["cpu_s"] for one in runs["ours"]]),
        "of ours",
    )
    report.note(
        f"{arguments.rounds} interleaved rounds, medians; posts of {len(BODY.format(0))} bytes, "
        f"{arguments.posts} a round, {arguments.boto3_posts} with boto3"
    )
    report.note(f"as in Lambda: with a session token of {len(TOKEN)} bytes to hash and to send in each post")


def pace(report: Report, server: Child, rate: int, arrivals: Path) -> None:
    """The most arrivals in any second of nginx's own log, and how far below the rate we stay on the whole."""
    common.progress(f"pace: {rate} posts/s")
    arrivals.write_bytes(b"")
    worker(
        "ours", "--posts", str(rate * 3), "--port", str(server.port), "--rate", str(rate), "--path", "/paced"
    )
    times = sorted(float(line) for line in arrivals.read_text().split())[WARMING:]
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    report.figure(f"most arrivals in any second at {rate}/s", most, "posts", at_most=rate)
    report.figure(
        f"mean arrivals at {rate}/s", (len(times) - 1) / (times[-1] - times[0]), "posts/s", at_most=rate
    )


def memory(report: Report, server: Child) -> None:
    """What more and more posts add to the process, outcomes included."""
    counts = (1_000, 10_000, 100_000)
    grown = []
    for count in counts:
        common.progress(f"memory: {count} posts")
        grown.append(worker("ours", "--posts", str(count), "--port", str(server.port))["grown_kib"])
        report.figure(f"memory grown by {count:,} posts", grown[-1] / 1024, "MiB")
    further = (grown[-1] - grown[0]) * 1024 / (counts[-1] - counts[0])
    report.figure("memory for each further post", further, "bytes", at_most=32)
    report.note(
        "memory: the process's peak less what it had before; a list of outcomes is 8 to 17 bytes a post"
    )


def worker(*options: str) -> dict[str, float]:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "bench.fanout", "--worker", *options]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def work(arguments: argparse.Namespace) -> None:
    """Be such a process: post, and print what it took."""
    post = {"boto3": _boto3}.get(arguments.worker, _ours)(arguments)
    post(WARMING)
    memory_before = _memory_kib("VmRSS")
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    post(arguments.posts)
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    print(
        json.dumps(
            {
                "posts": arguments.posts,
                "wall_s": ended - began,
                "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                "grown_kib": _memory_kib("VmHWM") - memory_before,
            }
        )
    )


def _memory_kib(what: str) -> float:
    """The process's memory now or at its peak (Linux; elsewhere 0)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return float(next(line.split()[1] for line in lines if line.startswith(what + ":")))


def _ours(arguments: argparse.Namespace) -> Callable[[int], None]:
    from chalicelib.realtime.connections import Connections, Endpoint
    from chalicelib.realtime.ports import Outcome, Post
    from chalicelib.realtime.signing import Credentials

    kind = "apigateway" if arguments.worker == "ours" else "gateway"
    path = arguments.path if kind == "apigateway" else ""
    endpoint = Endpoint(
        f"http://127.0.0.1:{arguments.port}{path}",
        kind,
        bulk=arguments.worker == "bulk",
        dedup=kind == "gateway",
    )
    keys = Credentials("AKIDEXAMPLE", "secret", TOKEN if arguments.token else "")
    client = Connections(rate=arguments.rate, secret="secret", region=REGION, credentials=lambda: keys)

    def post(count: int) -> None:
        key = "01J9ZC6T1V4Q" if kind == "gateway" else ""
        many = (Post(name, text, key) for name, text in _posts(count, arguments.distinct))
        outcomes = client.post_many(endpoint, many)
        if outcomes.count(Outcome.SENT) != count:
            raise RuntimeError(f"{count - outcomes.count(Outcome.SENT)} posts were not sent")

    return post


def _boto3(arguments: argparse.Namespace) -> Callable[[int], None]:
    import boto3

    client: Any = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{arguments.port}{arguments.path}",
        region_name=REGION,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        aws_session_token=TOKEN if arguments.token else None,
    )

    def post(count: int) -> None:
        for name, text in _posts(count, arguments.distinct):
            client.post_to_connection(ConnectionId=name, Data=text.encode())

    return post


def _posts(count: int, distinct: bool) -> Iterator[tuple[str, str]]:
    text = BODY.format(0)
    for number in range(count):
        yield f"L0SM9cO{number:07}w=", BODY.format(number) if distinct else text


def options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=20_000, help="with our client, in each round")
    parser.add_argument("--boto3-posts", type=int, default=1_000, help="with boto3, in each round")
    parser.add_argument("--rate", type=int, default=3_000, help="of the check that the pace is kept")


def main() -> int:
    """Measure, or be one of the processes that do."""
    if "--worker" not in sys.argv:
        return common.run(TITLE, measure, options)
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", choices=("ours", "gateway", "bulk", "boto3"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--posts", type=int, required=True)
    parser.add_argument("--path", default="/prod")
    parser.add_argument("--rate", type=float, default=1e9)
    parser.add_argument("--token", action="store_true")
    parser.add_argument("--distinct", action="store_true")
    work(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())
