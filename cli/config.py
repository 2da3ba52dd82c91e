"""`foyer config check`: what the service would refuse at its start, and what it would start with anyhow."""

import difflib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from chalicelib import keysets, settings
from chalicelib.admin.settings import AdminSettings
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
NOTE: Final = "note"
LEVELS: Final = (ERROR, WARNING, NOTE)
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
USUALLY: Final = "x" * 32
IN_PLACE: Final[Mapping[str, str]] = {
    "ADMIN_TOKENS": f"x:{'0' * 64}",
    "COMMAND_WEBHOOK_SECRET": f"whsec_{'x' * 32}",
    "JITSI_SERVER_KEYS": f"secret:{'s' * 32}",
    "JITSI_USER_KEYS": f"secret:{'u' * 32}",
    "LOOP_MEDIA_CHANNELS": "x=x:x",
    "OWT_SUPER_SERVICE_ID": "0" * 24,
    "WCS_API_USERS": "x:x",
    "WCS_SECRETS": "x:x",
    "WCS_USERS": "x:x:x",
}
"""What stands in for a value that is not known, so that the others can be looked at."""
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
        "ADMIN_": AdminSettings,
    }
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
    """Everything that is wrong or questionable, errors first.

    What is `supplied` later is not missed, and of what stands elsewhere only the name is known.
    """
    names, elsewhere = known(), references(environ)
    environ = dict(environ) | {name: IN_PLACE.get(name, USUALLY) for name in elsewhere}
    read: dict[str, Any] = {}
    found: list[Finding] = []
    for part in parts():
        given = {name: text for name, text in environ.items() if part.belongs(name)}
        found += map(_error, _complaints(given, partial(_load, part, read), elsewhere))
    found += map(_error, _gateway(environ, elsewhere))
    found += map(_error, _webhooks(environ, elsewhere) if "" in read else ())
    if jitsi := read.get("JITSI_"):
        found += [each for each in _keys(jitsi) if each.setting not in elsewhere]
    settled = {*supplied, *elsewhere, *(each.setting for each in found if each.level == ERROR)}
    found += [each for each in _advice(read, environ) if each.setting not in settled]
    found += _misspelt(environ, names)
    found += [Finding(NOTE, name, "stands in SSM and was not looked at") for name in sorted(elsewhere)]
    return sorted(found, key=lambda each: LEVELS.index(each.level))


def references(environ: Mapping[str, str]) -> set[str]:
    """The settings that say where their value stands."""
    return {
        name
        for name, text in environ.items()
        if text.strip().startswith(f"{settings.REFERENCE}/") and name.startswith((*OURS, *PLAIN))
    }


def looked_up(environ: Mapping[str, str]) -> dict[str, str]:
    """The same with what stands elsewhere.  Raises `Failed`."""
    from chalicelib import references as ssm

    found = dict(environ)
    try:
        return found | ssm.look_up({name: environ[name] for name in references(environ)})
    except BadSetting as wrong:
        raise Failed(str(wrong)) from None


def _load(part: Part, read: dict[str, Any], given: Mapping[str, str]) -> None:
    read[part.prefix] = settings.load(part.kind, part.prefix, given)


def _complaints(
    given: dict[str, str], load: Callable[[Mapping[str, str]], Any], unknown: Collection[str] = ()
) -> Iterator[str]:
    """Every complaint: each is followed by another look without the settings that it names.

    What is only wrong because one of those is gone, or its value not known, is none.
    """
    gone = set(unknown)
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


def _gateway(environ: Mapping[str, str], unknown: Collection[str]) -> Iterator[str]:
    from infra.gateway import settings as gateway

    given = {name: text for name, text in environ.items() if name.startswith("GATEWAY_") or name in PLAIN}
    rest = {name: text for name, text in environ.items() if name not in given}

    def load(given: Mapping[str, str]) -> None:
        gateway.check_reachable(gateway.load(rest | dict(given)))

    if given:
        yield from _complaints(given, load, unknown)


def _webhooks(environ: Mapping[str, str], unknown: Collection[str]) -> Iterator[str]:
    """Addresses and secrets of webhooks, which are read by another module."""
    from chalicelib.media import settings as webhooks
    from cli.target import environment

    hidden = {name for name in os.environ if name.startswith(media_settings.OURS)}
    kept = {name: os.environ.pop(name) for name in hidden}
    try:
        with environment({n: t for n, t in environ.items() if n.startswith(media_settings.OURS)}):
            webhooks.get()
    except BadSetting as wrong:
        if not set(_NAME.findall(str(wrong))) & set(unknown):
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
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misused(f"{path}: no text in UTF-8") from None
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
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}; stages stand in a checkout") from None
    except ValueError as error:
        raise Misused(f"{path}: not JSON: {error}") from None
    stage = config.get("stages", {}).get(name)
    if stage is None:
        known = ", ".join(config.get("stages", {}))
        raise Misused(f"{path}: there is no stage {name}; it has {known or 'none'}")
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
    look_up: Annotated[
        bool,
        typer.Option("--look-up", help="Ask SSM for the values that stand there; takes AWS credentials."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every setting, and say all that is wrong at once; exit status 1 if anything is.

    Values are never shown.
    """
    if file and stage:
        raise Misused("--env-file or --stage, not both")
    environ = from_file(file) if file else of_stage(stage) if stage else dict(os.environ)
    if look_up:
        environ = looked_up(environ)
    found = check(environ, BY_THE_STACK if stage else ())
    bad = [each for each in found if each.level == ERROR or (strict and each.level == WARNING)]
    if as_json:
        output.document({"ok": not bad, "findings": [each._asdict() for each in found]})
    else:
        output.table(Finding._fields, found, empty="the settings are in order")
    if bad:
        raise Failed(f"{len(bad)} {'finding' if strict else 'error'}{'s' if len(bad) > 1 else ''}")
