"""The files for self-hosting, image, compose.yaml and unit: by rules of ours, and by tools where they are."""

import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

from chalicelib import settings as process
from chalicelib.jitsi import settings as jitsi
from infra.children import ROOT
from infra.gateway import settings as gateway
from tests.support.container import (
    DOCKERFILE,
    IGNORED,
    LOCK,
    SELFHOST,
    UNIT,
    compose,
    copied,
    environment,
    example,
    instructions,
    last,
    stages,
)

LISTENERS = {"PORT", "TLS_PORT", "TLS_CERT", "TLS_KEY"}
OPTIONS = re.compile(r"^(?!#)(\w+)=(.*)$", re.MULTILINE)


def known(name: str) -> bool:
    """Whether a variable means something to us, to the SDK or to Python."""
    ours: dict[str, type[Any]] = {
        "FOYER_": process.Settings,
        "GATEWAY_": gateway._Given,
        "JITSI_": jitsi.JitsiSettings,
    }
    for prefix, fields in ours.items():
        if name.startswith(prefix):
            return name[len(prefix) :].lower() in typing.get_type_hints(fields)
    return name in LISTENERS or name.startswith(("AWS_", "PYTHON"))


def test_every_image_it_is_made_of_has_a_version():
    images = [each.words[0] for stage in stages() for each in stage if each.name == "FROM"]
    assert images == ["python:${PYTHON}-slim-bookworm"] * 2
    assert [each.text for each in instructions(DOCKERFILE.read_text()) if each.name == "ARG"] == [
        "PYTHON=3.11"
    ]
    services = compose()["services"]
    assert re.fullmatch(r"nginx:\d+\.\d+-\w+", services["proxy"]["image"])
    assert {services[name]["image"] for name in ("gateway-1", "gateway-2")} == {"foyer-gateway"}
    assert (SELFHOST / services["gateway-1"]["build"]["context"]).resolve() == ROOT
    assert services["gateway-1"]["build"]["dockerfile"] == str(DOCKERFILE.relative_to(ROOT))


def test_the_image_runs_as_nobody_special_and_without_a_shell():
    user, _, group = last("USER").text.partition(":")
    assert user.isdecimal()
    assert group.isdecimal()
    assert int(user) >= 10000
    for name in ("CMD", "HEALTHCHECK"):
        assert last(name).words[0] == "python"


def test_libraries_come_from_the_lock_and_are_checked_against_it():
    (install,) = [each.text for stage in stages() for each in stage if "pip install" in each.text]
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    pinned = re.findall(r"^[A-Za-z0-9._-]+==", LOCK.read_text(), re.MULTILINE)
    assert len(re.findall(r"--hash=sha256:", LOCK.read_text())) >= len(pinned) > 5


def test_nothing_is_fetched_and_no_secret_is_built_in():
    names = {each.name for each in instructions(DOCKERFILE.read_text())}
    assert names <= {"ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR"}
    assert [name for name in environment() if re.search("KEY|SECRET|TOKEN|PASSWORD", name)] == []
    assert "FOYER_STAGE" not in environment()


def test_the_build_sees_what_is_copied_and_nothing_else():
    lines = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    sources = {source.rstrip("/") for source in copied()}
    assert allowed == sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert str(LOCK.relative_to(ROOT)).startswith("infra/gateway/")


def test_the_image_has_every_module_that_it_imports():
    files = [ROOT / source for source in copied()]
    modules = [path for each in files for path in ([each] if each.is_file() else each.rglob("*.py"))]
    wanted = {
        name
        for path in modules
        if path.suffix == ".py"
        for name in re.findall(r"^\s*(?:from|import) (infra[\w.]*)", path.read_text(), re.MULTILINE)
    }
    there = {"infra", "infra.gateway"} | {
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules
    }
    assert wanted - there == set()


def test_every_variable_of_the_files_exists():
    unit = dict(pair.split("=", 1) for pair in " ".join(values(UNIT.read_text(), "Environment")).split())
    services = compose()["services"].values()
    named = {*environment(), *example(), *unit}.union(*(each.get("environment", {}) for each in services))
    assert [name for name in sorted(named) if not known(name)] == []


def test_the_example_is_read_alike_by_docker_and_systemd():
    for name, value in example().items():
        assert re.fullmatch(r"[A-Z_]+", name)
        assert not re.search(r"[\s'\"\\$#]", value), name
    assert example()["FOYER_STAGE"] != "local"
    assert {name for name in example() if re.search("SECRET|ACCESS_KEY", name) and example()[name]} == set()


def test_the_gateways_of_the_compose_file_are_those_of_the_proxy():
    services = compose()["services"]
    inside = {
        name: service["networks"]["foyer"]["ipv4_address"]
        for name, service in services.items()
        if name.startswith("gateway")
    }
    upstream = re.findall(r"server ([\d.]+):8080 ", (SELFHOST / "nginx.conf").read_text())
    assert sorted(upstream) == sorted(inside.values())
    proxy = services["proxy"]["networks"]["foyer"]["ipv4_address"]
    for name, address in inside.items():
        given = services[name]["environment"]
        assert (
            given["GATEWAY_MANAGEMENT_URL"] == f"http://{address}:{environment()['GATEWAY_MANAGEMENT_PORT']}"
        )
        assert given["GATEWAY_TRUSTED_PROXIES"] == proxy


def test_only_the_proxy_is_reached_from_outside_and_nothing_runs_with_more_than_it_needs():
    for name, service in compose()["services"].items():
        assert ("ports" in service) == (name == "proxy")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert "max-size" in service["logging"]["options"]


def seconds(text: str) -> float:
    """A span of time of Docker's or systemd's."""
    number, unit = re.fullmatch(r"(\d+)(s|m|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * (1 if unit == "s" else 60)


def test_there_is_time_to_close_the_sockets_before_a_gateway_is_killed():
    rate = gateway._Given.drain_rate
    sockets = 20_000
    needed = sockets / rate + gateway._Given.close_deadline_s + 10
    for service in ("gateway-1", "gateway-2"):
        assert seconds(compose()["services"][service]["stop_grace_period"]) >= needed
    (span,) = values(UNIT.read_text(), "TimeoutStopSec")
    assert seconds(span) >= needed


def values(unit: str, option: str) -> list[str]:
    """What a unit file gives an option."""
    return [value for name, value in OPTIONS.findall(unit) if name == option]


def test_the_unit_starts_what_the_image_starts():
    (command,) = values(UNIT.read_text(), "ExecStart")
    interpreter, *arguments = command.split()
    assert interpreter == "/opt/foyer/venv/bin/python"
    assert ["python", *arguments] == last("CMD").words
    # Refusals are for a person; everything else is tried again.
    assert values(UNIT.read_text(), "RestartPreventExitStatus") == ["2"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path):
    text = UNIT.read_text().replace("/opt/foyer/venv/bin/python", sys.executable)
    (tmp_path / "foyer-gateway@.service").write_text(text)
    unit = tmp_path / "foyer-gateway@8080.service"
    unit.symlink_to("foyer-gateway@.service")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert [line for line in checked.stderr.splitlines() if "foyer-gateway" in line] == []
    assert checked.returncode == 0, checked.stderr
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert scored.returncode == 0, scored.stdout[-400:] + scored.stderr


def test_an_unknown_option_of_a_unit_would_be_found(tmp_path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there")
    unit = tmp_path / "foyer-broken.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectSystems=strict\n")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert "ProtectSystems" in checked.stderr
