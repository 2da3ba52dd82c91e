"""`foyer config check`: what the service would refuse at its start, and what it would start with anyhow."""

import difflib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from chalicelib import keysets, settings
from chalicelib.jitsi.settings import JitsiSettings
from chalicelib.loop.settings import LoopSettings
from chalicelib.owt import media_settings
from chalicelib.owt.media_settings import MediaSettings
from chalicelib.owt.settings import OwtSettings
from chalicelib.settings import BadSetting, Settings
from chalicelib.sora.settings import SoraSettings
from chalicelib.wcs.settings import WcsSettings
from cli import output
from cli.errors import Failed, Misused
from cli.options import AsJson

ERROR: Final = "error"
WARNING: Final = "warning"
OURS: Final = (
    "FOYER_",
    "JITSI_",
    "OWT_",
    "LOOP_",
    "SORA_",
    "WCS_",
    "GATEWAY_",
    "ADMIN_",
    *media_settings.OURS,
)
PLAIN: Final = ("PORT", "TLS_PORT", "TLS_CERT", "TLS_KEY")
ALIKE: Final = 0.85
BY_THE_STACK: Final = ("FOYER_QUEUE_URL", "FOYER_GATEWAY_SECRET")
"""What the template gives its functions beside the stage's variables."""
KEY_SETTINGS: Final = ("JITSI_USER_KEYS", "JITSI_SERVER_KEYS")

_NAME: Final = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\bPORT\b")
_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")


class Finding(NamedTuple):
    """Something about a setting."""

    level: str
    setting: str
    says: str


class Part(NamedTuple):
    """Settings that are read together."""

    prefix: str
    kind: type[Any]
    belongs: Callable[[str], bool]


def _below(prefix: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(prefix) and name not in settings.NOT_OURS


def parts() -> Iterator[Part]:
    """All that this installation knows."""
    kinds: dict[str, type[Any]] = {
        "FOYER_": Settings,
        "JITSI_": JitsiSettings,
        "OWT_": OwtSettings,
        "LOOP_": LoopSettings,
        "SORA_": SoraSettings,
        "WCS_": WcsSettings,
    }
    if importlib.util.find_spec("chalicelib.admin"):
        kinds["ADMIN_"] = importlib.import_module("chalicelib.admin.settings").AdminSettings
    for prefix, kind in kinds.items():
        yield Part(prefix, kind, _below(prefix))
    yield Part("", MediaSettings, lambda name: name.startswith(media_settings.OURS))


def known() -> set[str]:
    """The names of all settings."""
    from infra.gateway.settings import _Given

    found = {part.prefix + name.upper() for part in parts() for name in part.kind.__annotations__}
    found |= {f"GATEWAY_{name.upper()}" for name in _Given.__annotations__}
    return found | set(PLAIN) | settings.NOT_OURS


def check(environ: Mapping[str, str], supplied: Collection[str] = ()) -> list[Finding]:
    """Everything that is wrong or questionable, errors first; what is `supplied` later is not missed."""
    read: dict[str, Any] = {}
    found: list[Finding] = []
    for part in parts():
        given = {name: text for name, text in environ.items() if part.belongs(name)}
        for complaint in _complaints(given, partial(_load, part, read)):
            found.append(_error(complaint))
    found += [_error(complaint) for complaint in _gateway(environ)]
    found += [_error(complaint) for complaint in _webhooks(environ)] if "" in read else []
    if jitsi := read.get("JITSI_"):
        found += _keys(jitsi)
    found += [each for each in _advice(read, environ) if each.setting not in supplied]
    found += _misspelt(environ, known())
    return sorted(found, key=lambda each: each.level != ERROR)


def _load(part: Part, read: dict[str, Any], given: Mapping[str, str]) -> None:
    read[part.prefix] = settings.load(part.kind, part.prefix, given)


def _complaints(given: dict[str, str], load: Callable[[Mapping[str, str]], Any]) -> Iterator[str]:
    """Every complaint: each is followed by another look without the settings that it names.

    What is only wrong because one of those is gone is none.
    """
    gone: set[str] = set()
    while True:
        try:
            load(given)
            return
        except BadSetting as wrong:
            named = set(_NAME.findall(str(wrong).partition(": ")[0]))
            if not named & gone:
                yield str(wrong)
            if not named & given.keys():
                return
            gone |= named
            for name in named & given.keys():
                del given[name]


def _error(complaint: str) -> Finding:
    setting, colon, says = complaint.partition(": ")
    if not colon or not _NAME.search(setting):
        return Finding(ERROR, "-", complaint)
    if says == "there is no such setting":
        near = difflib.get_close_matches(setting, known(), 1, 0.6)
        says += f"; is {near[0]} meant?" if near else ""
    return Finding(ERROR, setting, says)


def _gateway(environ: Mapping[str, str]) -> Iterator[str]:
    from infra.gateway import settings as gateway

    given = {name: text for name, text in environ.items() if name.startswith("GATEWAY_") or name in PLAIN}
    rest = {name: text for name, text in environ.items() if name not in given}
    if given:
        yield from _complaints(given, lambda given: gateway.check_reachable(gateway.load(rest | dict(given))))


def _webhooks(environ: Mapping[str, str]) -> Iterator[str]:
    """Addresses and secrets of webhooks, which are read by another module."""
    from chalicelib.media import settings as webhooks
    from cli.target import environment

    hidden = {name for name in os.environ if name.startswith(media_settings.OURS)}
    kept = {name: os.environ.pop(name) for name in hidden}
    try:
        with environment({n: t for n, t in environ.items() if n.startswith(media_settings.OURS)}):
            webhooks.get()
    except BadSetting as wrong:
        yield str(wrong)
    finally:
        os.environ |= kept
        settings.reset()


def _keys(jitsi: JitsiSettings) -> Iterator[Finding]:
    """The key material that stands in the settings, or in files that they name."""
    shared: list[str] = []
    for name in KEY_SETTINGS:
        spec = str(getattr(jitsi, name.removeprefix("JITSI_").lower()))
        try:
            keysets.from_setting(spec, name=name)
        except BadSetting as wrong:
            yield _error(str(wrong))
            continue
        items = [item.strip() for item in re.split(r"[,\n]", spec) if item.strip()]
        for item in items:
            kind, _, text = item.partition(":")
            if kind == "secret" and len(text.encode()) < keysets.SHORT_SECRET:
                yield Finding(WARNING, name, f"a secret is shorter than {keysets.SHORT_SECRET} bytes")
        shared += [name] if set(items) & set(shared) else items
    if KEY_SETTINGS[1] in shared:
        yield Finding(
            WARNING, KEY_SETTINGS[1], "it has a key of JITSI_USER_KEYS: people's keys could call golive"
        )


def _advice(read: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the service starts with, and what then does not work, or is open."""

    def setting(prefix: str, name: str) -> Any:
        return getattr(read[prefix], name) if prefix in read else True

    local = setting("FOYER_", "stage") == "local"
    says: tuple[tuple[bool, str, str], ...] = (
        (local, "FOYER_STAGE", "the stage `local` is open to everybody who reaches it"),
        (
            not setting("FOYER_", "queue_url"),
            "FOYER_QUEUE_URL",
            "without a queue releases wait for the sweep",
        ),
        (
            not setting("FOYER_", "gateway_secret"),
            "FOYER_GATEWAY_SECRET",
            "without it no gateway takes messages of workers",
        ),
        (not setting("JITSI_", "user_keys"), "JITSI_USER_KEYS", "without keys nobody can wait or watch"),
        (not setting("JITSI_", "server_keys"), "JITSI_SERVER_KEYS", "without keys nobody can call golive"),
        (
            not setting("JITSI_", "muc_domain_base"),
            "JITSI_MUC_DOMAIN_BASE",
            "without it conferences of any domain are taken",
        ),
        (
            not setting("OWT_", "super_service_id"),
            "OWT_SUPER_SERVICE_ID",
            "without a super service conference management refuses every call",
        ),
        (not setting("LOOP_", "secret"), "LOOP_SECRET", "without it nobody can register or join in Loop"),
        (
            "LOOP_" in read and read["LOOP_"].media_secret == LoopSettings().media_secret,
            "LOOP_MEDIA_SECRET",
            "the default is known to everybody",
        ),
        (
            setting("SORA_", "open") is True and "SORA_" in read,
            "SORA_OPEN",
            "the metadata API asks for no credentials",
        ),
        (
            not setting("SORA_", "open") and not setting("SORA_", "api_keys"),
            "SORA_API_KEYS",
            "without keys the metadata API refuses every call",
        ),
        (
            not local and not any(setting("WCS_", name) for name in ("open", "secrets", "users")),
            "WCS_SECRETS",
            "without secrets or logins every hook is refused",
        ),
        (
            setting("WCS_", "open") is True and "WCS_" in read,
            "WCS_OPEN",
            "hooks of apis without credentials are taken",
        ),
        (
            "ADMIN_" in read and not read["ADMIN_"].tokens,
            "ADMIN_TOKENS",
            "without tokens there is neither a console nor its API",
        ),
        (
            "AWS_ENDPOINT_URL" in environ and not local,
            "AWS_ENDPOINT_URL",
            "storage is not that of AWS",
        ),
    )
    return (Finding(WARNING, name, text) for holds, name, text in says if holds)


def _misspelt(environ: Mapping[str, str], names: set[str]) -> Iterator[Finding]:
    """Variables that look like a setting whose prefix is wrong."""
    for name in environ:
        if name in names or name.startswith((*OURS, "AWS_")):
            continue
        if near := difflib.get_close_matches(name, names - set(PLAIN), 1, ALIKE):
            yield Finding(WARNING, name, f"not a setting; is {near[0]} meant?")


def from_file(path: Path) -> dict[str, str]:
    """The variables of a file as systemd and Docker read it.  Raises `Misused`."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{path}: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parsed = _LINE.fullmatch(line)
        if parsed is None:
            raise Misused(f"{path}, line {number}: NAME=value is expected")
        found[parsed[1]] = parsed[2]
    return found


def of_stage(name: str) -> dict[str, str]:
    """The variables that a stage of .chalice/config.json gives its functions.  Raises `Misused`."""
    path = Path(".chalice") / "config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Misused(f"{path}: {error}") from None
    stage = config.get("stages", {}).get(name)
    if stage is None:
        raise Misused(f"{path}: there is no stage {name}")
    found: dict[str, str] = {}
    for layer in (config, stage):
        found |= {key: str(value) for key, value in layer.get("environment_variables", {}).items()}
    return found


@app.callback()
def config() -> None:
    """Look at the configuration."""


@app.command("check")
def check_command(
    file: Annotated[
        Path | None, typer.Option("--env-file", help="NAME=value lines instead of the environment.")
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            "--stage", help="What .chalice/config.json gives this stage, instead of the environment."
        ),
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every setting, and say all that is wrong at once; exit status 1 if anything is.

    Values are never shown.
    """
    if file and stage:
        raise Misused("--env-file or --stage, not both")
    environ = from_file(file) if file else of_stage(stage) if stage else dict(os.environ)
    found = check(environ, BY_THE_STACK if stage else ())
    bad = [each for each in found if strict or each.level == ERROR]
    if as_json:
        output.document({"ok": not bad, "findings": [each._asdict() for each in found]})
    else:
        output.table(Finding._fields, found, empty="the settings are in order")
    if bad:
        raise Failed(f"{len(bad)} {'finding' if strict else 'error'}{'s' if len(bad) > 1 else ''}")
