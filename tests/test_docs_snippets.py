"""What the documents show can be used: snippets parse, settings and options exist, links lead somewhere."""

import ast
import dataclasses
import json
import re
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]
from msgspec import structs

from chalicelib import settings as process
from chalicelib.admin.settings import AdminSettings
from chalicelib.jitsi.settings import JitsiSettings
from chalicelib.loop.settings import LoopSettings
from chalicelib.owt.media_settings import MediaSettings
from chalicelib.owt.settings import OwtSettings
from chalicelib.sora.settings import SoraSettings
from chalicelib.wcs.settings import WcsSettings
from infra import tls
from infra.gateway import settings as gateway
from tests.prosody.tools import tool

ROOT: Final = Path(__file__).parents[1]
JITSI_GUIDE: Final = ROOT / "docs" / "jitsi.md"
LOOP_GUIDE: Final = ROOT / "docs" / "loop.md"
OWT_GUIDE: Final = ROOT / "docs" / "owt.md"
MEDIA_GUIDE: Final = ROOT / "docs" / "media-plane.md"
WCS_GUIDE: Final = ROOT / "docs" / "wcs.md"
ADMIN_GUIDE: Final = ROOT / "docs" / "admin.md"
SORA_GUIDES: Final = (ROOT / "docs" / "sora.md", ROOT / "docs" / "sora.ja.md")
PROSODY_MODULE: Final = ROOT / "infra" / "prosody" / "mod_foyer_visitors.lua"
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

FENCE: Final = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
PROSE: Final = frozenset({"text", "http", "console"})
"""Languages that have no syntax to check: transcripts and frames."""


class Snippet(NamedTuple):
    """A fenced block."""

    place: str
    language: str
    text: str


def snippets() -> Iterator[Snippet]:
    """The fenced blocks of all documents."""
    for path in DOCUMENTS:
        text = path.read_text()
        for block in FENCE.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            indent = re.compile(f"^{block[1]}", re.MULTILINE)
            yield Snippet(f"{path.relative_to(ROOT)}:{line}", block[2].strip(), indent.sub("", block[3]))


def run(*command: str) -> None:
    """Have a program read a snippet; what it complains about is the failure."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr or result.stdout


class Hocon:
    """A strict reader of as much HOCON as examples need: no includes, no substitutions."""

    TOKEN: Final = re.compile(
        r"(?P<skip>[ \t\r,\n]+|(?:#|//)[^\n]*)|\"[^\"\n]*\"|[{}\[\]=:]|[^\s,{}\[\]=:\"#]+"
    )

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            match = self.TOKEN.match(text, at)
            assert match, f"unreadable at {text[at : at + 20]!r}"
            if not match["skip"]:
                self.tokens.append(match[0])
            at = match.end()

    def read(self) -> dict[str, Any]:
        """The whole text, an object without its braces."""
        found = self._members()
        assert not self.tokens, f"unexpected {self.tokens[0]!r}"
        return found

    def _members(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.tokens and self.tokens[0] != "}":
            key = self.tokens.pop(0)
            assert re.fullmatch(r"\"[^\"]*\"|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key), f"not a key: {key!r}"
            assert self.tokens, f"no value for {key}"
            if self.tokens[0] in "=:":
                self.tokens.pop(0)
            else:
                assert self.tokens[0] == "{", f"no value for {key}"
            target = found
            *path, last = [key.strip('"')] if key.startswith('"') else key.split(".")
            for name in path:
                target = target.setdefault(name, {})
            assert last not in target, f"{key} stands twice"
            target[last] = self._value(key)
        return found

    def _value(self, key: str) -> Any:
        assert self.tokens, f"no value for {key}"
        token = self.tokens.pop(0)
        if token == "{":
            found = self._members()
            assert self.tokens, f"{key}: a closing brace is missing"
            self.tokens.pop(0)
            return found
        if token == "[":
            items = []
            while self.tokens and self.tokens[0] != "]":
                items.append(self._value(key))
            assert self.tokens, f"{key}: a closing bracket is missing"
            self.tokens.pop(0)
            return items
        assert token not in ("}", "]", "=", ":"), f"no value for {key}"
        if token.startswith('"'):
            return token[1:-1]
        return {"true": True, "false": False}.get(token, token)


def check_lua(text: str, folder: Path) -> None:
    (folder / "snippet.lua").write_text(text)
    run(tool("luac", "luac5.4"), "-p", str(folder / "snippet.lua"))


def check_js(text: str, folder: Path) -> None:
    (folder / "snippet.js").write_text(text)
    run(tool("node"), "--check", str(folder / "snippet.js"))


def check_shell(text: str, folder: Path) -> None:
    (folder / "snippet.sh").write_text(text)
    run(tool("bash"), "-n", str(folder / "snippet.sh"))


def check_hocon(text: str, _folder: Path) -> None:
    assert Hocon(text).read()


def check_yaml(text: str, _folder: Path) -> None:
    assert isinstance(yaml.safe_load(text), (dict, list))


def check_properties(text: str, _folder: Path) -> None:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [re.fullmatch(r"([\w.-]+)=(\S.*)", line) for line in lines]
    assert all(pairs), lines
    names = [pair[1] for pair in pairs if pair]
    assert len(names) == len(set(names)) > 0


def free_port() -> int:
    """A port that nobody listens on: nginx binds even for a test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_nginx(text: str, folder: Path) -> None:
    made = tls.ensure(folder / "tls")
    text = re.sub(r"(ssl_(?:client_)?certificate\s+)\S+;", rf"\g<1>{made.chain};", text)
    text = re.sub(r"(ssl_certificate_key\s+)\S+;", rf"\g<1>{made.key};", text)
    text = re.sub(r"(proxy_pass\s+https://)[a-z.]+;", r"\g<1>127.0.0.1;", text)
    text = re.sub(r"listen\s+443\b", f"listen 127.0.0.1:{free_port()}", text)
    if "server {" not in text:
        text = f"server {{ listen 127.0.0.1:{free_port()};\n{text}\n}}"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {temporary}\n{text}\n}}"
    (folder / "nginx.conf").write_text(whole)
    run(tool("nginx"), "-t", "-q", "-e", "stderr", "-c", str(folder / "nginx.conf"))


def check_caddyfile(text: str, _folder: Path) -> None:
    depth = 0
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words == ["}"]:
            depth -= 1
        elif words[-1] == "{":
            assert len(words) > 1, "a block without a name"
            depth += 1
        assert depth >= 0, "a brace too many"
        assert depth or words == ["}"], f"outside of any site: {line}"
    assert depth == 0, "a brace is missing"


def check_json(text: str, _folder: Path) -> None:
    json.loads(text)


def check_toml(text: str, _folder: Path) -> None:
    tomllib.loads(text)


def check_python(text: str, _folder: Path) -> None:
    ast.parse(text)


CHECKS: Final[dict[str, Callable[[str, Path], None]]] = {
    "bash": check_shell,
    "caddyfile": check_caddyfile,
    "hocon": check_hocon,
    "js": check_js,
    "json": check_json,
    "lua": check_lua,
    "nginx": check_nginx,
    "properties": check_properties,
    "python": check_python,
    "sh": check_shell,
    "toml": check_toml,
    "yaml": check_yaml,
}


@pytest.mark.parametrize("snippet", list(snippets()), ids=lambda snippet: snippet.place)
def test_a_snippet_parses(snippet: Snippet, tmp_path: Path) -> None:
    if snippet.language in PROSE:
        return
    assert snippet.language in CHECKS, (
        f"a block in {snippet.language or 'no language'!r}, which nobody checks"
    )
    CHECKS[snippet.language](snippet.text, tmp_path)


@pytest.mark.parametrize(
    ("language", "broken"),
    [
        ("lua", "modules_enabled = { 'a'"),
        ("js", "config.visitors = {"),
        ("bash", "if true; then"),
        ("hocon", "jicofo { visitors { enabled = true }"),
        ("hocon", "jicofo { enabled true }"),
        ("hocon", "a = 1\na = 2"),
        ("hocon", "a = 1 }"),
        ("yaml", "services: ["),
        ("yaml", "just words"),
        ("properties", "no equals sign"),
        ("properties", "a=1\na=2"),
        ("nginx", "location / { proxy_pas http://127.0.0.1; }"),
        ("nginx", "server { listen 443 ssl;"),
        ("caddyfile", "a.example {\nreverse_proxy 127.0.0.1"),
        ("caddyfile", "a.example {\n}\n}"),
        ("json", "{'a': 1}"),
        ("toml", "a ="),
        ("python", "def"),
    ],
)
def test_a_broken_snippet_is_found(language: str, broken: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, SyntaxError, ValueError, yaml.YAMLError)):
        CHECKS[language](broken, tmp_path)


def test_what_a_reader_types_runs_in_our_own_python_or_in_the_image() -> None:
    lines = [line for snippet in snippets() if snippet.language == "sh" for line in snippet.text.splitlines()]
    bare = re.compile(r"(?<![\w./-])python3? -m (?!venv\b)")
    assert [line for line in lines if bare.search(line) and not line.startswith("docker ")] == []


def test_jicofo_is_told_to_honour_live_rooms() -> None:
    blocks = [Hocon(text).read() for place, language, text in snippets() if language == "hocon"]
    assert {"jicofo": {"visitors": {"enabled": True, "enable-live-room": True}}} in blocks


def spelled(value: object) -> str:
    """A setting's default as one would write it into the environment; a dash for none."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value) or "-"
        case int() | float():
            return f"{value:g}" if value < 1e6 else str(value)
        case _:
            return str(value) or "-"


def defaults(settings: type, prefix: str) -> dict[str, str]:
    """The settings of a class, and their defaults."""
    found = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else structs.fields(settings)
    return {prefix + field.name.upper(): spelled(field.default) for field in found}


def named(prefix: str) -> dict[str, str]:
    """The names below a prefix that any document mentions, and where."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        for name in re.findall(
            rf"(?<![A-Z_]){prefix}[A-Z][A-Z0-9_]*[A-Z0-9](?![A-Z0-9_]*\*)", path.read_text()
        ):
            found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def rows(text: str) -> dict[str, str]:
    """First and second cells of the rows of tables, where both are code or a dash."""
    cell = r"(?:`([^`\n]+)`|(-))"
    return {
        name: first or dash
        for name, first, dash in re.findall(rf"^\| `([A-Za-z0-9_]+)` \| {cell} \|", text, re.MULTILINE)
    }


def test_the_guide_names_each_jitsi_setting_with_its_default() -> None:
    table = {
        name: value for name, value in rows(JITSI_GUIDE.read_text()).items() if name.startswith("JITSI_")
    }
    assert table == defaults(JitsiSettings, "JITSI_")


def test_the_guide_names_each_owt_setting_with_its_default() -> None:
    table = {name: value for name, value in rows(OWT_GUIDE.read_text()).items() if name.startswith("OWT_")}
    assert table == defaults(OwtSettings, "OWT_")


def test_the_guide_names_each_loop_setting_with_its_default() -> None:
    table = {name: value for name, value in rows(LOOP_GUIDE.read_text()).items() if name.startswith("LOOP_")}
    assert table == defaults(LoopSettings, "LOOP_")


def test_the_guide_names_each_setting_of_the_media_plane_with_its_default() -> None:
    expected = defaults(MediaSettings, "")
    table = {name: value for name, value in rows(MEDIA_GUIDE.read_text()).items() if name in expected}
    assert table == expected


def test_the_guide_names_each_wcs_setting_with_its_default() -> None:
    table = {name: value for name, value in rows(WCS_GUIDE.read_text()).items() if name.startswith("WCS_")}
    assert table == defaults(WcsSettings, "WCS_")


@pytest.mark.parametrize("guide", SORA_GUIDES, ids=lambda guide: guide.name)
def test_the_guides_name_each_sora_setting_with_its_default(guide: Path) -> None:
    table = {name: value for name, value in rows(guide.read_text()).items() if name.startswith("SORA_")}
    assert table == defaults(SoraSettings, "SORA_")


def test_the_guide_names_each_setting_of_operators_with_its_default() -> None:
    table = {
        name: value for name, value in rows(ADMIN_GUIDE.read_text()).items() if name.startswith("ADMIN_")
    }
    assert table == defaults(AdminSettings, "ADMIN_")


def test_both_guides_to_sora_show_the_same_snippets() -> None:
    english, japanese = ([block[3] for block in FENCE.finditer(each.read_text())] for each in SORA_GUIDES)
    assert english == japanese


@pytest.mark.parametrize(
    ("prefix", "known"),
    [
        ("JITSI_", set(defaults(JitsiSettings, "JITSI_"))),
        ("OWT_", set(defaults(OwtSettings, "OWT_")) | {"OWT_REST"}),  # the JavaScript SDK's name for itself
        ("LOOP_", set(defaults(LoopSettings, "LOOP_")) | {"LOOP_URL"}),  # the guide's scripts have that one
        # A caller's own name for the key that it sends, in commands.
        ("SORA_", set(defaults(SoraSettings, "SORA_")) | {"SORA_API_KEY", "SORA_EVENT_KEY"}),
        ("WCS_", set(defaults(WcsSettings, "WCS_"))),
        ("ADMIN_", set(defaults(AdminSettings, "ADMIN_"))),
        *((prefix, set(defaults(MediaSettings, ""))) for prefix in ("MEDIA_", "CONFIRM_", "COMMAND_")),
        ("FOYER_", set(defaults(process.Settings, "FOYER_")) | process.NOT_OURS),
        ("GATEWAY_", set(defaults(gateway._Given, "GATEWAY_"))),
    ],
)
def test_no_document_names_a_setting_that_does_not_exist(prefix: str, known: set[str]) -> None:
    assert {name: place for name, place in named(prefix).items() if name not in known} == {}


def test_the_guide_names_each_option_of_the_prosody_module_with_its_default() -> None:
    code = PROSODY_MODULE.read_text()
    options = dict(re.findall(r'get_option_\w+\("(foyer_\w+)", ([^)]+)\)', code))
    options |= dict.fromkeys(re.findall(r'lookup\("(foyer_\w+)"\)', code), "{}")
    documented = {
        name: value for name, value in rows(JITSI_GUIDE.read_text()).items() if name.startswith("foyer_")
    }
    assert documented == options


HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK: Final = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    text = FENCE.sub("", path.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link
