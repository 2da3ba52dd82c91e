"""The files for self-hosting at work: two gateways as the image starts them, and nginx with TLS in front."""

import contextlib
import json
import re
import shutil
import signal
import ssl
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.protocol import State

from infra import tls
from infra.children import ROOT, Child
from infra.credentials import Credentials
from infra.emulator import Emulator, free_port
from tests.prosody.tools import tool
from tests.support.clients import ROOM, STATE, StompClient, golive, http_call, visitor
from tests.support.container import SELFHOST, Contained, Image, compose, example, last
from tests.support.fronts import eventually

KEYS = "/etc/foyer/keys"
QUICK = {"JITSI_STATE_INTERVAL_S": "1", "JITSI_CONNECTS_PER_SOURCE": "4", "GATEWAY_DRAIN_RATE": "50"}


@dataclass
class Hosted:
    """The running whole."""

    image: Image
    gateways: list[Contained]
    start: Callable[[int], Contained]
    address: str
    tls: ssl.SSLContext
    storage: dict[str, str]

    def visitor(self, token: str, room: str = ROOM, **options: str) -> StompClient:
        """A visitor who waits, behind the proxy."""
        return visitor(self.address.replace("https", "wss"), token, room, tls=self.tls, **options)

    def call(self, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request through the proxy."""
        return http_call(self.address, method, path, None, headers, self.tls)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users than ours can look into."""
    made = Path(tempfile.mkdtemp(prefix="foyer-image-"))
    made.chmod(0o755)
    yield made
    for path in (made, *made.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def image(folder: Path) -> Image:
    """The image's files."""
    place = folder / "image"
    place.mkdir()
    return Image(place)


@pytest.fixture(scope="module")
def hosted(image: Image, folder: Path, emulator: Emulator, credentials: Credentials) -> Iterator[Hosted]:
    """Storage made by the image, two gateways on it, and the proxy."""
    table = f"foyer-{uuid.uuid4().hex[:12]}"
    made = image.run(
        ["python", "-m", "infra.storage"], {"FOYER_TABLE": table, "AWS_ENDPOINT_URL": emulator.url, **CLOUD}
    )
    assert made.returncode == 0, made.stderr
    storage = dict(line.split("=", 1) for line in made.stdout.splitlines())

    keys = folder / "keys"
    keys.mkdir()
    (keys / "asap.pub.pem").write_bytes(credentials.server_public_path.read_bytes())
    settings = credentials.environment()
    ours = {
        **{name: value.replace(KEYS, str(keys)) for name, value in example().items()},
        **{name: settings[name] for name in SECRETS},
        **storage,
        **CLOUD,
        "AWS_ENDPOINT_URL": emulator.url,
    }
    upstream, ports = (SELFHOST / "nginx.conf").read_text(), []
    services = compose()["services"]
    for name in ("gateway-1", "gateway-2"):
        ports.append(free_port())
        inside = services[name]["networks"]["foyer"]["ipv4_address"]
        upstream = upstream.replace(f"{inside}:8080", f"127.0.0.1:{ports[-1]}")

    def start(number: int) -> Contained:
        given = services[f"gateway-{number + 1}"]["environment"]
        assert given["GATEWAY_MANAGEMENT_URL"].endswith(":8081")
        own = free_port()
        here = {
            "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
            "GATEWAY_MANAGEMENT_URL": f"http://127.0.0.1:{own}",
            "GATEWAY_MANAGEMENT_PORT": str(own),
            "GATEWAY_BIND": "127.0.0.1",
            "PORT": str(ports[number]),
        }
        assert set(given) <= set(here)
        child = Contained(image, ours | QUICK | here, folder / f"gateway-{number}.log")
        child.spawn()
        return child.wait()

    gateways = [start(number) for number in range(2)]
    proxy, address, ca = proxied(upstream, folder)
    context = ssl.create_default_context(cafile=ca)
    try:
        yield Hosted(image, gateways, start, address, context, ours)
    finally:
        for gateway in gateways:
            gateway.kill()
        proxy.stop(10)  # killed, it would leave its workers


CLOUD = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
SECRETS = ("FOYER_GATEWAY_SECRET", "JITSI_USER_KEYS", "JITSI_MUC_DOMAIN_BASE")


def proxied(configuration: str, folder: Path) -> tuple[Child, str, Path]:
    """Start nginx with the configuration of compose.yaml; its address, and what to trust."""
    made, port = tls.ensure(folder / "tls"), free_port()
    (folder / "nginx").mkdir()
    for ours, theirs in (
        ("/etc/foyer/tls/fullchain.pem", str(made.chain)),
        ("/etc/foyer/tls/privkey.pem", str(made.key)),
        ("/tmp/nginx", f"{folder}/nginx/"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("worker_processes auto;", "worker_processes 1;"),
    ):
        assert ours in configuration
        configuration = configuration.replace(ours, theirs)
    path = folder / "nginx.conf"
    path.write_text(configuration)
    child = Child(folder / "nginx.log")
    child.run([tool("nginx"), "-e", "stderr", "-c", str(path), "-g", "daemon off;"], {}, ROOT, signal.SIGTERM)
    context = ssl.create_default_context(cafile=made.ca)
    address = f"https://127.0.0.1:{port}"

    def ready() -> bool:
        with contextlib.suppress(OSError):
            return http_call(address, "GET", "/healthz", tls=context)[0] == 200
        return False

    child.until(ready, 30, lambda: False)
    return child, address, made.ca


def sockets(child: Contained) -> int:
    """How many WebSockets a gateway has accepted."""
    return len(re.findall(r'"status":101\b', child.log()))


def is_closed(client: StompClient) -> bool:
    """Whether the server has closed a socket."""
    return client.socket.protocol.state is State.CLOSED


def test_one_golive_releases_the_visitors_of_both_gateways(hosted: Hosted, credentials: Credentials):
    waiting = [
        hosted.visitor(credentials.visitor_token(jti=f"a{number}"), source=f"127.0.1.{number + 1}")
        for number in range(6)
    ]
    with StompClient(hosted.address.replace("https", "wss"), tls=hosted.tls) as moderator:
        assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
        moderator.subscribe(STATE + ROOM)
        assert json.loads(moderator.frame(20)[2])["visitorsWaiting"] == 6
    assert all(sockets(each) >= 3 for each in hosted.gateways)

    assert golive(hosted.address, credentials.server_token(), tls=hosted.tls)[0] == 200
    for each in waiting:
        assert json.loads(each.frame(30)[2])["status"] == "live"
        each.close()


def test_visitors_of_a_gateway_that_is_replaced_wait_at_the_other_one(
    hosted: Hosted, credentials: Credentials
):
    room = "replaced@conference.meet.local"
    tokens = [credentials.visitor_token(jti=f"b{number}") for number in range(4)]
    waiting = [hosted.visitor(token, room, source="127.0.2.1") for token in tokens]
    before = sockets(hosted.gateways[1])

    assert hosted.gateways[0].stop() == 0
    assert eventually(lambda: sum(map(is_closed, waiting)) == 2)
    closed = [token for token, each in zip(tokens, waiting, strict=True) if is_closed(each)]
    again = [hosted.visitor(token, room, source="127.0.2.2") for token in closed]
    assert sockets(hosted.gateways[1]) == before + 2
    hosted.gateways[0] = hosted.start(0)

    assert golive(hosted.address, credentials.server_token(), room, tls=hosted.tls)[0] == 200
    for each in again:
        assert json.loads(each.frame(30)[2])["status"] == "live"
        each.close()


def test_the_proxy_says_who_came(hosted: Hosted, credentials: Credentials):
    base = hosted.address.replace("https", "wss")

    def connects(source: str) -> str:
        with StompClient(base, tls=hosted.tls, source=source) as client:
            return client.connect(credentials.visitor_token(jti=uuid.uuid4().hex))[0]

    # Four a minute, and a minute may end meanwhile.
    assert "ERROR" in [connects("127.0.3.1") for _ in range(9)]
    assert connects("127.0.3.2") == "CONNECTED"


def test_metrics_and_management_are_not_reached_through_the_proxy(hosted: Hosted):
    assert hosted.call("GET", "/metrics")[0] == 404
    assert hosted.call("POST", "/@connections/x")[0] == 404


def test_the_health_check_of_the_image_tells_a_gateway_that_answers(hosted: Hosted):
    command = last("HEALTHCHECK").words
    port = hosted.gateways[1].http.rpartition(":")[2]
    assert hosted.image.run(command, {"PORT": port, "GATEWAY_BIND": "0.0.0.0"}).returncode == 0
    assert hosted.image.run([*command, "/readyz"], {"PORT": port}).returncode == 0
    assert hosted.image.run([*command, "/nothing"], {"PORT": port}).returncode == 1
    assert hosted.image.run(command, {"PORT": str(free_port())}).returncode == 1


def test_storage_that_is_there_is_left_alone(hosted: Hosted):
    again = hosted.image.run(["python", "-m", "infra.storage"], hosted.storage)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [
        f"FOYER_TABLE={hosted.storage['FOYER_TABLE']}",
        f"FOYER_QUEUE_URL={hosted.storage['FOYER_QUEUE_URL']}",
    ]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("letters list", (0, "0 dead letters\n", "")),
        ("reseal", (0, "encrypted anew: 0\n", "")),
        ("rekey 5e0d0c0a0b0c0d0e0f101112 --finish", (1, "", "foyer: there is no such service\n")),
    ],
)
def test_an_operators_commands_are_in_the_image(hosted: Hosted, command: str, said: tuple[int, str, str]):
    done = hosted.image.run(["python", "-m", *f"infra.{command}".split()], hosted.storage)

    assert (done.returncode, done.stdout, done.stderr) == said


def test_a_worker_starts_from_the_image(hosted: Hosted, folder: Path):
    log = folder / "worker.log"
    worker = Contained(hosted.image, hosted.storage, log)
    worker.spawn(["python", "-m", "infra.worker"])
    worker.until(lambda: '"worker"' in worker.log(), 30, lambda: False)
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "GATEWAY_BIND: the local stage is open to everybody and is served on loopback only"),
        ({"FOYER_STAGE": "prod"}, "GATEWAY_MANAGEMENT_URL: needed"),
        ({"FOYER_STAGE": "prod", "GATEWAY_BIND": "::1", "FOYER_TABLES": "x"}, "there is no such setting"),
    ],
)
def test_an_image_without_its_settings_says_so_in_one_line_and_stays_down(
    image: Image, given: dict[str, str], said: str
):
    refused = image.run(last("CMD").words, given)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_nothing_is_written_into_the_image(hosted: Hosted):
    assert hosted.image.files() == hosted.image.made
