"""The documents keep up with the code: every route is in openapi.json and in the checklist."""

import json
import re
from pathlib import Path

import app
from chalicelib.admin import door
from chalicelib.admin.routes import every as admin_routes
from chalicelib.jitsi import messages
from chalicelib.jitsi import routes as jitsi_routes
from chalicelib.loop import operations as loop_operations
from chalicelib.media import operations as media_operations
from chalicelib.owt import operations as owt_operations
from chalicelib.sora import routes as sora_routes
from chalicelib.wcs import operations as wcs_operations
from tests.support.events import call

ROOT = Path(__file__).resolve().parent.parent
COVERAGE = (ROOT / "docs/contracts/coverage.md").read_text()


def routes() -> set[tuple[str, str]]:
    """Every route; behind the operators' one door stand those of their API."""
    found = {(method, path) for path, methods in app.app.routes.items() for method in methods}
    return found - {(method, door.PATH) for method in door.METHODS} | admin_routes.served()


def test_every_route_is_in_the_openapi_document_and_the_other_way_round():
    document = call(app.app, "GET", "/openapi.json").json()
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert listed == routes()


def test_every_answered_route_has_its_row_in_the_checklist():
    rows = set(re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", COVERAGE, re.MULTILINE))
    refused = {(method, jitsi_routes.PATH) for method in jitsi_routes.METHODS}
    for operations in (owt_operations, loop_operations, media_operations, wcs_operations):
        refused |= {(operation.method, operation.path) for operation in operations.unserved()}
    refused |= {(method, path) for method in sora_routes.REFUSED for path in sora_routes.PATHS}
    answered = routes() - refused
    assert answered == rows


def test_the_checklist_names_files_that_exist():
    named = set(re.findall(r"`((?:chalicelib|infra|tests|docs)/[^`*{]+)`", COVERAGE))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_openapi_document_is_3_1_and_resolves_its_references():
    document = call(app.app, "GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    referenced = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referenced <= set(document["components"]["schemas"])
    golive = document["paths"]["/waiting-queue/golive"]["post"]
    assert set(golive["responses"]) == {"200", "400", "401", "403", "404", "413", "415", "503"}
    assert golive["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/GoLive"
    }


def test_the_documented_answer_of_golive_is_what_is_sent():
    fields = set(messages.GoLiveAnswer.__struct_fields__)
    assert fields == {"conference", "status"}


def test_each_operation_has_an_id_of_its_own():
    document = call(app.app, "GET", "/openapi.json").json()
    found = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(found) == len(set(found))


def test_decisions_are_numbered_without_gaps():
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_index_has_every_document():
    folder = ROOT / "docs"
    linked = set(re.findall(r"\]\(([a-z][^)#]*\.md)\)", (folder / "README.md").read_text()))
    pages = {str(path.relative_to(folder)) for path in folder.rglob("*.md")}
    assert linked == {page for page in pages if not page.startswith("decisions/")} - {"README.md"}
