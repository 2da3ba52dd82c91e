"""The console's files: where they are, under which headers, how heavy, and that they fit together."""

import json
import re
from pathlib import Path

import pytest

import app
from chalicelib import web
from chalicelib.console import files, routes
from tests.admin import api
from tests.support import node
from tests.support.events import call
from tools import vendor

NAMES = sorted(path.name for path in files.FOLDER.iterdir())
LANGUAGES = ("en", "ja")
WORDS = {language: (files.FOLDER / f"{language}.js").read_text() for language in LANGUAGES}
GROUP = re.compile(r"^export const (\w+) = \{\n(.*?)^\};$", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r'^\t(?:"([a-z_.0-9]+)"|(\w+)): "((?:[^"\\]|\\.)*)",$', re.MULTILINE)
SCRIPTS = {name: (files.FOLDER / name).read_text() for name in NAMES if name.endswith(".js")}
OURS = {name: text for name, text in SCRIPTS.items() if not text.startswith("/*!")}
HEAVIEST = 150 * 1024
"""Bytes that a browser loads in all, before anybody compresses them."""


def words(language: str) -> dict[str, str]:
    """What there is to say, by keys like `error.conflict`."""
    return {
        f"{group}.{dotted or plain}": text
        for group, body in GROUP.findall(WORDS[language])
        for dotted, plain, text in ENTRY.findall(body)
    }


@pytest.fixture
def on(monkeypatch):
    api.given(monkeypatch, ops=api.TOKEN)


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/app.js", "/console/index.html"])
def test_without_operators_there_is_no_console(path):
    answer = call(app.app, "GET", path)
    assert (answer.status, answer.body) == (404, web.UNKNOWN_ROUTE)


def test_the_page_is_html_that_loads_nothing_from_elsewhere_and_runs_no_script_of_strangers(on):
    answer = call(app.app, "GET", "/console/")
    assert (answer.status, answer.header("content-type")) == (200, "text/html; charset=utf-8")
    policy = dict(
        part.strip().split(" ", 1) for part in (answer.header("content-security-policy") or "").split(";")
    )
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in str(policy)
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert "style=" not in answer.body
    assert re.findall(r"<script(?![^>]* src=)", answer.body) == []
    assert re.findall(r"\son\w+=", answer.body) == []


@pytest.mark.parametrize(("path", "below"), [("/console/", ""), ("/console", "console/")])
def test_addresses_in_the_page_are_relative_to_how_it_was_asked_for(on, path, below):
    body = call(app.app, "GET", path).body
    addresses = re.findall(r'(?:href|src)="([^"]+)"', body)
    assert len(addresses) > 5
    assert [each for each in addresses if not re.fullmatch(below + r"[a-z]+\.[a-z]+", each)] == []
    assert {each.removeprefix(below) for each in addresses} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_served_with_its_type_and_once_known_not_again(on, name):
    answer = call(app.app, "GET", f"/console/{name}")
    assert answer.status == 200
    assert answer.body == (files.FOLDER / name).read_text()
    assert answer.header("content-type") == files.TYPES[name.rpartition(".")[2]]
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("content-security-policy") == files.POLICY
    tag = answer.header("etag")
    assert tag
    again = call(app.app, "GET", f"/console/{name}", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status, again.body, again.header("etag")) == (304, "", tag)
    assert call(app.app, "GET", f"/console/{name}", headers={"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..", "..%2fapp.py", "%2e%2e", "files.py", "App.js", "app.js.", "app", ".js", "app.js%00"],
)
def test_nothing_else_is_served(on, name):
    answer = call(app.app, "GET", f"/console/{name}")
    assert (answer.status, answer.body) == (404, web.UNKNOWN_ROUTE)
    assert files.answer(name) is None


def test_modules_import_what_is_there_and_by_address():
    for name, text in SCRIPTS.items():
        for wanted in re.findall(r'(?:from|import)\s*"([^"]+)"', text):
            assert wanted.startswith("./"), (name, wanted)
            assert wanted[2:] in NAMES, (name, wanted)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_browser_loads_little_in_all(language):
    others = {f"{each}.js" for each in LANGUAGES if each != language}
    loaded = [name for name in NAMES if name not in others and not name.endswith(".txt")]
    assert sum((files.FOLDER / name).stat().st_size for name in loaded) <= HEAVIEST


def test_both_languages_have_the_same_keys_with_the_same_blanks():
    first, second = (words(language) for language in LANGUAGES)
    assert len(first) > 150
    for language in LANGUAGES:
        lines = [line for line in WORDS[language].splitlines() if line.startswith("\t")]
        assert len(lines) == len(words(language)), "every line is an entry, and no key stands twice"
    assert first.keys() == second.keys()
    blanks = re.compile(r"\{\w+\}")
    assert {key: sorted(blanks.findall(text)) for key, text in first.items()} == {
        key: sorted(blanks.findall(text)) for key, text in second.items()
    }
    same = {key for key in first if first[key] == second[key]}
    assert {key for key in same if not key.endswith(".short")} == set()


def test_every_key_that_is_named_has_words_and_every_word_is_used():
    known = words("en").keys()
    text = "\n".join(source for name, source in OURS.items() if name not in {"en.js", "ja.js"})
    named = set(re.findall(r'\bt\(\s*"([^"]+)"', text))
    chosen = {pick for pair in re.findall(r'\bt\([^`"()]*\? "([^"]+)" : "([^"]+)"\)', text) for pick in pair}
    assert len(named) > 80
    assert named | chosen <= known
    # What is put together from parts, like `nav.${each}.short`; lists begin with the name of their page.
    parts = {re.sub(r"\$\{[^}]+\}", "*", key) for key in re.findall(r"\bt\(`([^`]+)`", text)}
    patterns = [re.compile(re.escape(part).replace(r"\*", ".+")) for part in parts]
    quoted = set(re.findall(r'"([a-z_.]+)"', text))
    lists = {f"{page}.empty" for page in re.findall(r'\bpage="([a-z.]+)"', text)}
    assert lists <= known
    unused = {
        key
        for key in known - named - chosen - lists
        if not any(pattern.fullmatch(key) for pattern in patterns)
        and key not in quoted
        and not key.startswith(("col.", "error."))
    }
    assert unused == set()
    columns = set(re.findall(r'\b(?:column|numbered|dated|named|coded|linked|leading)\("(\w+)"', text))
    assert {f"col.{each}" for each in columns} <= known


def test_every_code_of_the_api_has_words():
    from chalicelib.admin import spelling

    assert {f"error.{code}" for _, _, code in spelling.CODES} <= words("en").keys()


def test_libraries_are_what_their_packages_hold_and_have_their_licences_beside_them():
    node.modules()
    assert vendor.differing() == []
    pinned = json.loads((node.FOLDER / "package.json").read_text())["dependencies"]
    for copy in vendor.COPIES:
        if not copy.name.endswith(".txt"):
            head = SCRIPTS[copy.name].splitlines()[0]
            assert head.startswith(f"/*! {copy.package} {pinned[copy.package]}, ")
            assert f"licence-{copy.package}.txt" in head
            assert f"licence-{copy.package}.txt" in NAMES


def test_the_package_for_lambda_has_the_files(built):
    import zipfile

    with zipfile.ZipFile(built / "deployment.zip") as archive:
        inside = {Path(name).name for name in archive.namelist() if "chalicelib/console/static/" in name}
    assert set(NAMES) <= inside


def test_operations_and_routes_agree():
    assert {(each.method, each.path) for each in routes.OPERATIONS} == {
        ("GET", path) for path in app.app.routes if path.startswith("/console")
    }


def test_pictures_of_the_documents_are_small():
    pictures = sorted((vendor.ROOT / "docs" / "images").glob("*.png"))
    assert len(pictures) >= 4
    assert [path.name for path in pictures if path.stat().st_size > 150 * 1024] == []
