"""`make run`: what it prints and writes can be used as it is, and nothing of it stays behind."""

import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import typing
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import jwt
import pytest

from chalicelib.admin.settings import AdminSettings
from chalicelib.jitsi.settings import JitsiSettings
from chalicelib.loop.settings import LoopSettings
from chalicelib.owt.settings import OwtSettings
from chalicelib.settings import Settings
from chalicelib.sora.settings import SoraSettings
from chalicelib.wcs.settings import WcsSettings
from infra import endpoints, local, tls
from infra.children import ROOT
from infra.credentials import CannotSign, Credentials
from infra.emulator import LOOPBACK, Emulator, free_port
from infra.gateway import settings as gateway_settings
from infra.leash import alive
from infra.resources import client
from tests.conftest import OURS, Stack
from tests.support import mauth

DEADLINE_S = 60


def lasting(found: dict[str, Any]) -> dict[str, Any]:
    """What endpoints.json says in each run; the emulator's port is another one each time."""
    return {name: part for name, part in found.items() if name != "aws"}


class Run:
    """One `python -m infra.local`."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        clean = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.local", "--folder", str(folder)],
            env=clean | environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def ready(self) -> dict[str, Any]:
        """Wait for the end of what it prints at start; endpoints.json."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                return endpoints.read(self.folder)
        raise AssertionError(f"it ended: {self.said}")

    def end(self) -> int:
        """Read what it says to the end; its exit status."""
        self.said += self.process.communicate(timeout=DEADLINE_S)[0]
        return self.process.returncode

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.end()

    def children(self) -> list[int]:
        """The processes it started."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


class Starter(Protocol):
    """Starts runs: `run(PORT="8090")`, in one folder unless told otherwise."""

    def __call__(self, folder: Path | None = None, /, **environ: str) -> Run:
        """A run that has just begun."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Starter]:
    started: list[Run] = []

    def start(folder: Path | None = None, /, **environ: str) -> Run:
        environ = {"PORT": str(free_port())} | environ
        started.append(Run(folder or tmp_path / "local", environ))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def post(url: str, token: str, body: object) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, json.load(answer)


def get(url: str, **arguments: Any) -> int:
    with urllib.request.urlopen(url, timeout=10, **arguments) as answer:
        answer.read()
        return int(answer.status)


def services(found: dict[str, Any]) -> list[dict[str, Any]]:
    """List the services of conference management with nothing but what endpoints.json says."""
    owt = found["owt"]
    header = mauth.header(owt["super_service_id"], owt["super_service_key"])
    request = urllib.request.Request(f"{found['http']}/services", headers={"Authorization": header})
    with urllib.request.urlopen(request, timeout=10) as answer:
        listed: list[dict[str, Any]] = json.load(answer)
        return listed


def operator(found: dict[str, Any]) -> str:
    """Whom the token in endpoints.json belongs to."""
    headers = {"Authorization": f"Bearer {found['console']['token']}"}
    request = urllib.request.Request(f"{found['http']}/admin/v1/session", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["name"])


def golive(found: dict[str, Any], folder: Path) -> tuple[int, Any]:
    """Call golive with nothing but what endpoints.json says."""
    jitsi = found["jitsi"]
    key = (folder / jitsi["server_private_key"]).read_text()
    claims = {"iss": jitsi["server_issuer"], "aud": jitsi["server_audience"], "nbf": 0, "exp": 2**33}
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": jitsi["server_kid"]})
    conference = f"room1@{jitsi['muc_prefix']}.{jitsi['muc_domain']}"
    return post(f"{found['http']}{jitsi['base_path']}/golive", token, {"conference": conference})


def test_a_run_is_usable_by_its_file_alone_and_keeps_its_rows(run: Starter, tmp_path: Path):
    folder = tmp_path / "local"
    port = str(free_port())
    first = run(PORT=port)
    found = first.ready()
    children = first.children()

    assert found["http"] == f"http://127.0.0.1:{port}"
    assert found["ws"] == f"ws://127.0.0.1:{port}"
    assert set(found["jitsi"]) == {
        *("base_path", "user_secret", "user_issuer", "user_audience", "server_private_key", "server_kid"),
        *("server_issuer", "server_audience", "muc_prefix", "muc_domain"),
    }
    assert set(found["owt"]) == {"super_service_id", "super_service_key"}
    assert found["loop"] == {"base_path": ""}
    assert found["wcs"] == {"base_path": "/rest/my_api", "secret": None}
    assert found["console"]["url"] == f"http://127.0.0.1:{port}/console/"
    assert operator(found) == "local"
    assert get(f"{found['http']}/healthz") == 200
    with urllib.request.urlopen(f"{found['http']}/playground/credentials.json", timeout=10) as answer:
        assert json.load(answer)["owt"] == found["owt"]
    assert re.search(rf"in a browser +{found['http']}/$", first.said, re.MULTILINE)
    assert [each["_id"] for each in services(found)] == [found["owt"]["super_service_id"]]
    assert golive(found, folder) == (200, {"conference": "room1@conference.meet.local", "status": "live"})
    assert len(children) == 2
    assert first.stop() == 0
    assert not any(alive(pid) for pid in children)
    assert not (folder / endpoints.FILE).exists()

    second = run(PORT=port)
    again = second.ready()
    emulator = re.search(r"emulated +(http://\S+)", second.said)
    assert lasting(again) == lasting(found)
    assert emulator
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    rows = client("dynamodb", emulator[1], credentials).scan(TableName=local.TABLE)["Items"]
    assert any("room1@conference.meet.local" in json.dumps(row) for row in rows)


def test_what_is_printed_can_be_pasted(run: Starter):
    started = run()
    found = started.ready()
    line = next(line.strip() for line in started.said.splitlines() if line.strip().startswith("curl"))
    done = subprocess.run(["bash", "-c", line + " --silent"], stdout=subprocess.PIPE, text=True, check=True)

    assert done.stdout.startswith("HTTP/1.1 200")
    owt = re.search(r"^  OWT super service \(id, key\)\n    (\S+)\n    (\S+)$", started.said, re.MULTILINE)
    assert owt
    assert owt.groups() == (found["owt"]["super_service_id"], found["owt"]["super_service_key"])
    tokens = re.findall(r"^    (eyJ\S+)$", started.said, re.MULTILINE)
    users = [
        jwt.decode(token, found["jitsi"]["user_secret"], ["HS256"], audience="jitsi")["context"]["user"]
        for token in tokens
    ]
    assert users == [{"role": "visitor"}, {"moderator": True}]
    minted = subprocess.run(
        [
            *(sys.executable, "-m", "infra.credentials", "visitor", "--room", "room1"),
            *("--folder", str(started.folder)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    claims = jwt.decode(minted.strip(), found["jitsi"]["user_secret"], ["HS256"], audience="jitsi")
    assert claims["room"] == "room1"


def test_a_visitor_on_the_terminal_waits_until_the_conference_is_live(run: Starter):
    started = run()
    found = started.ready()
    command = [sys.executable, "-m", "infra.visitor", "room1", "--folder", str(started.folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as visitor:
        assert visitor.stdout
        assert visitor.stdout.readline() == "waiting for room1@conference.meet.local\n"
        assert golive(found, started.folder)[0] == 200
        said = json.loads(visitor.stdout.read())

    assert visitor.returncode == 0
    assert said["status"] == "live"


def test_nobody_else_can_read_the_keys(run: Starter):
    started = run(TLS_PORT=str(free_port()))
    started.ready()
    modes = {
        path.relative_to(started.folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in started.folder.rglob("*")
        if path.parent.name in {"keys", "tls"} or path.name == endpoints.FILE
    }

    assert modes.pop("tls/ca.pem") == 0o644
    assert set(modes.values()) == {0o600}
    assert {"keys/server.pem", "keys/user-secret", "keys/gateway-secret", "tls/ca.key"} <= set(modes)
    assert {"keys/owt-super-service-id", "keys/owt-super-service-key", "keys/owt-key-secret"} <= set(modes)
    assert "keys/loop-secret" in modes
    assert stat.S_IMODE(started.folder.stat().st_mode) == 0o700


def test_a_second_start_says_where_the_first_one_is(run: Starter):
    found = run().ready()
    second = run()

    assert second.end() == 2
    assert second.said.count("\n") == 1
    assert f"runs already at {found['http']}" in second.said
    assert get(f"{found['http']}/healthz") == 200


def test_a_port_in_use_is_one_clear_line(run: Starter):
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for name in ("PORT", "TLS_PORT"):
            started = run(**{name: port})

            assert started.end() == 2
            assert f"{name}={port} is in use" in started.said
            assert started.said.count("\n") == 1


@pytest.mark.parametrize("text", ["http", "-1", "65536", "1e3", "٣"])
def test_a_port_that_is_no_port_is_refused(text: str):
    with pytest.raises(local.Refusal, match="a port number"):
        local.choose_ports({"PORT": text})


def test_without_a_port_the_next_free_one_is_taken(monkeypatch):
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        first = taken.getsockname()[1]
        monkeypatch.setattr(local, "PORT", first)

        assert first < int(local.choose_ports({})["PORT"]) < first + local.PORTS_TRIED


def test_the_port_for_tls_is_not_taken_by_the_plain_one(monkeypatch):
    port = free_port()
    monkeypatch.setattr(local, "PORT", port)

    assert local.choose_ports({"TLS_PORT": str(port)})["PORT"] != str(port)


@pytest.mark.parametrize("part", ["JITSI", "LOOP", "OWT", "SORA", "WCS", "GATEWAY", "FOYER"])
def test_an_unknown_setting_stops_the_start_with_one_clear_line(run: Starter, emulator: Emulator, part: str):
    name = f"{part}_NO_SUCH_THING"
    # Beside an emulator of the run's own once; that of the tests is there at once.
    given = {} if part == "JITSI" else {"AWS_ENDPOINT_URL": emulator.url}
    started = run(**{name: "1"}, **given)

    assert started.end() == 2
    assert name in started.said.splitlines()[-1]
    assert "Traceback" not in started.said


def test_what_was_killed_leaves_nothing_behind_that_matters(run: Starter, tmp_path: Path):
    folder = tmp_path / "local"
    port = str(free_port())
    first = run(PORT=port)
    found = first.ready()
    children = first.children()
    first.process.kill()
    first.process.wait()
    assert (folder / endpoints.FILE).exists()

    second = run(PORT=port)

    assert lasting(second.ready()) == lasting(found)
    end = time.monotonic() + 20
    while any(alive(pid) for pid in children) and time.monotonic() < end:
        time.sleep(0.05)  # they are dead, and somebody has yet to take note of it
    assert not any(alive(pid) for pid in children)
    assert golive(found, folder)[0] == 200


def test_a_damaged_folder_is_repaired(run: Starter, tmp_path: Path):
    folder = tmp_path / "local"
    (folder / "state").mkdir(parents=True)
    (folder / "keys").mkdir()
    for name in ("state/dynamodb.json", "state/sqs.json", "endpoints.json"):
        (folder / name).write_text("{")
    for name in ("keys/server.pem", "keys/user-secret"):
        (folder / name).touch()

    assert golive(run().ready(), folder)[0] == 200


def test_an_interrupted_start_leaves_no_process(run: Starter):
    started = run()
    assert started.process.stdout
    started.said += started.process.stdout.readline()
    children = started.children()
    status = started.stop(signal.SIGINT)

    assert status == 0
    assert not any(alive(pid) for pid in children)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_with_tls_the_printed_authority_is_all_a_client_needs(run: Starter, host: str):
    started = run(TLS_PORT=str(free_port()))
    found = started.ready()
    ca = re.search(r"CA to trust +(\S+)", started.said)
    assert ca
    address = found["https"].replace("127.0.0.1", host)

    assert found["wss"] == found["https"].replace("https", "wss")
    assert get(f"{address}/healthz", context=ssl.create_default_context(cafile=ca[1])) == 200
    assert get(f"{found['http']}/healthz") == 200
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        get(f"{address}/healthz", context=ssl.create_default_context())


def test_certificates_are_kept_while_they_last(tmp_path: Path, monkeypatch):
    made = tls.ensure(tmp_path)
    before = made.ca.read_bytes(), made.chain.read_bytes()
    tls.ensure(tmp_path)
    assert (made.ca.read_bytes(), made.chain.read_bytes()) == before

    monkeypatch.setattr(tls, "RENEWED_BEFORE", tls.LEAF_LIVES)
    tls.ensure(tmp_path)
    assert made.ca.read_bytes() == before[0]
    assert made.chain.read_bytes() != before[1]


@pytest.mark.parametrize("damaged", ["ca.pem", "ca.key", "localhost.pem", "localhost.key"])
def test_a_missing_or_damaged_certificate_is_made_anew(tmp_path: Path, damaged: str):
    tls.ensure(tmp_path)
    (tmp_path / damaged).write_bytes(b"")
    made = tls.ensure(tmp_path)
    context = ssl.create_default_context(cafile=str(made.ca))
    context.load_cert_chain(made.chain, made.key)

    assert len(context.get_ca_certs()) == 1


def test_an_endpoint_of_ones_own_is_used_instead(run: Starter, emulator: Emulator, stack: Stack):
    address = f"localhost:{emulator.port}"
    started = run(LOCALSTACK_HOST=address)
    found = started.ready()

    assert golive(found, started.folder)[0] == 200
    assert any("room1@conference.meet.local" in json.dumps(row) for row in stack.rows())
    assert len(started.children()) == 1
    assert f"http://{address}" in started.said


def test_an_endpoint_that_does_not_answer_is_one_clear_line(run: Starter):
    started = run(AWS_ENDPOINT_URL=f"http://{LOOPBACK}:{free_port()}")

    assert started.end() == 2
    assert "cannot be used" in started.said.splitlines()[-1]


def test_settings_of_the_environment_win(tmp_path: Path):
    environ = {
        "JITSI_USER_KEYS": "secret:my own secret that is long enough for it",
        "JITSI_SERVER_KEYS": "keyserver:https://keys.example/",
        "JITSI_USER_ISSUERS": "*",
        "JITSI_MUC_DOMAIN_BASE": "example.com",
        "JITSI_QUEUE_BASE_PATH": "/wait/",
        "OWT_SUPER_SERVICE_ID": "5e0d0c0a0b0c0d0e0f101112",
        "OWT_SUPER_SERVICE_KEY": "21989",
        "LOOP_SECRET": "my own secret that is long enough for it",
        "ADMIN_TOKENS": f"me:{'0' * 64}",
        "SORA_API_KEYS": "new, old",
        "WCS_SECRETS": "other:third,my_api:s3c:ret,my_api:second",
    }
    credentials = Credentials(tmp_path, environ)
    found = endpoints.document({"http": "http://127.0.0.1:1"}, credentials, environ)

    made = credentials.environment()
    assert {name: text for name, text in environ.items() if made.get(name) == text}.keys() == {
        *("JITSI_USER_KEYS", "JITSI_SERVER_KEYS", "JITSI_USER_ISSUERS", "JITSI_MUC_DOMAIN_BASE"),
        *("OWT_SUPER_SERVICE_ID", "OWT_SUPER_SERVICE_KEY", "LOOP_SECRET"),
    }
    assert found["jitsi"]["user_secret"] == "my own secret that is long enough for it"
    assert found["jitsi"]["user_issuer"] == "chat"
    assert found["jitsi"]["server_private_key"] is None
    assert found["jitsi"]["muc_domain"] == "example.com"
    assert found["jitsi"]["base_path"] == "/wait"
    assert found["owt"] == {
        "super_service_id": "5e0d0c0a0b0c0d0e0f101112",
        "super_service_key": "21989",
    }
    assert found["loop"] == {"base_path": ""}
    assert found["sora"] == {"key": "new"}
    assert (made["SORA_OPEN"], made["SORA_SOCKET_OPEN"]) == ("false", "true")
    assert found["wcs"] == {"base_path": "/rest/my_api", "secret": "s3c:ret"}
    assert found["console"] == {"url": "http://127.0.0.1:1/console/", "token": None}
    assert credentials.operators() == {}
    with pytest.raises(CannotSign):
        credentials.server_token()
    assert "JITSI_SERVER_KEYS" in endpoints.table(found, credentials, {})


def fields(cls: Any) -> list[str]:
    return [name.upper() for name in typing.get_type_hints(cls)]


def test_every_setting_is_documented():
    guides = ("admin", "local", "jitsi", "loop", "owt", "sora", "wcs")
    text = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in guides)
    plain = {"PORT", "TLS_PORT", "TLS_CERT", "TLS_KEY"}
    names = [f"FOYER_{name}" for name in fields(Settings)] + [
        f"JITSI_{name}" for name in fields(JitsiSettings)
    ]
    names += [f"LOOP_{name}" for name in fields(LoopSettings)]
    names += [f"OWT_{name}" for name in fields(OwtSettings)]
    names += [f"SORA_{name}" for name in fields(SoraSettings)]
    names += [f"WCS_{name}" for name in fields(WcsSettings)]
    names += [f"ADMIN_{name}" for name in fields(AdminSettings)]
    names += [name if name in plain else f"GATEWAY_{name}" for name in fields(gateway_settings._Given)]

    assert [name for name in names if f"`{name}`" not in text] == []
