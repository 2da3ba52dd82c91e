"""The pages of the local stage as a person uses them, in Chromium, on a gateway with its storage."""

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from infra.children import Gateway
from infra.credentials import Credentials
from infra.gateway import pages, settings
from infra.gateway.pages import Pages
from tests.support.browser import NARROW, PATIENCE_MS, WIDE, Visitor
from tests.support.caller import Caller
from tests.support.counts import FULL, full
from tests.support.payloads import PAYLOADS

LOOKS: Final = [("dark", NARROW), ("light", WIDE), ("dark", WIDE), ("light", NARROW)]


def looks(reduced: int) -> pytest.MarkDecorator:
    """Themes and widths: all of them, or the first ones where counts are reduced."""
    return pytest.mark.parametrize(
        ("scheme", "size"), LOOKS[: full(reduced, len(LOOKS))], ids=lambda part: str(part)
    )


def tab(visitor: Visitor, site: Gateway, name: str) -> Locator:
    """The panel of a tab, once it is ready."""
    visitor.page.goto(f"{site.http}/playground/#{name}")
    return ready(visitor.page, name)


def ready(page: Page, name: str) -> Locator:
    panel = page.locator(f"#{name}")
    expect(panel.get_by_role("heading", name="On the wire")).to_be_visible()
    expect(panel).not_to_have_attribute("aria-busy", "true")
    return panel


def press(place: Locator, name: str) -> None:
    place.get_by_role("button", name=name, exact=True).click()


def shows(place: Locator, text: str | re.Pattern[str]) -> None:
    expect(place).to_have_text(text)


def state(panel: Locator, name: str) -> Locator:
    """How many visitors are in a state."""
    return panel.locator(".counts div").filter(has_text=re.compile(f"^{name}")).locator("dd")


def enter(panel: Locator, room: str) -> None:
    panel.get_by_label("Room").fill(room)
    press(panel, "Enter")


def wire(panel: Locator, text: str | re.Pattern[str]) -> Locator:
    """What went over the wire and has this text."""
    return panel.locator(".wire li").filter(has_text=text)


def test_visitors_wait_until_a_moderator_lets_them_in_and_the_frames_pass_by(visitor: Visitor, site: Gateway):
    sockets: list[str] = []
    visitor.page.on("websocket", lambda socket: sockets.append(urlsplit(socket.url).path))
    panel = tab(visitor, site, "queue")
    enter(panel, "Walk1")
    conference = "walk1@conference.meet.local"
    expect(panel.get_by_text(f"watching {conference}")).to_be_visible()
    number = panel.locator(".number")
    shows(number, "0")
    some = 0
    for count in (1, 10, 100) if FULL else (1, 10):
        press(panel, f"Add {count}")
        some += count
        shows(state(panel, "waiting"), str(some))
        shows(number, str(some))
    expect(panel.locator(".crowd .waiting")).to_have_count(some)
    press(panel, "Go live")
    shows(state(panel, "joined"), str(some))
    shows(number, "0")
    expect(panel.get_by_text("live: whoever comes is let in")).to_be_visible()
    live = wire(panel, f"MESSAGE destination:/secured/conference/visitor/topic.{conference}")
    expect(live).to_have_count(some)
    live.first.locator("summary").click()
    assert '"status":"live","randomDelayMs":' in live.first.locator("pre").inner_text()
    expect(wire(panel, re.compile("Prosody POST /waiting-queue/golive")).first).to_be_attached()
    press(panel, "Add 1")
    shows(state(panel, "joined"), str(some + 1))
    press(panel, "Not live any more")
    press(panel, "Add 1")
    shows(state(panel, "waiting"), "1")
    press(panel, "All leave")
    expect(panel.get_by_text("Nobody is here.")).to_be_visible()
    shows(number, "0")

    assert set(sockets) == {"/waiting-queue/visitor/websocket"}
    called = {urlsplit(url).path for url in visitor.requests if url.startswith("http")}
    assert {path for path in called if not path.startswith("/playground/")} == {"/waiting-queue/golive"}


def test_a_browser_is_not_asked_for_more_sockets_than_it_opens(visitor: Visitor, site: Gateway):
    panel = tab(visitor, site, "queue")
    enter(panel, "full")
    visitor.page.evaluate("() => { window.WebSocket = class extends EventTarget { close() {} send() {} }; }")
    press(panel, "Add 100")
    press(panel, "Add 100")
    shows(state(panel, "connecting"), "200")
    # It can be pressed, to learn why it does nothing.
    panel.get_by_role("button", name="Add 1", exact=True).click(force=True)
    expect(visitor.page.get_by_role("alert")).to_contain_text("255 sockets")
    shows(state(panel, "connecting"), "200")


def test_a_guest_of_loop_goes_through_every_state_and_leaves(visitor: Visitor, site: Gateway):
    panel = tab(visitor, site, "loop")
    expect(panel.get_by_text("There is no room yet.")).to_be_visible()
    panel.get_by_label("Room name").fill("the talk")
    press(panel, "Make a room")
    expect(panel.get_by_text("Nobody has come yet.")).to_be_visible()
    panel.get_by_label("Name", exact=True).fill("Grace")
    press(panel, "Join")
    row = panel.get_by_role("row").filter(has_text="Grace")
    for event, to, streams in (
        ("Session.connectionCreated", "waiting", "0 out, 0 in"),
        ("Session.connectionCreated", "starting", "0 out, 0 in"),
        ("Publisher.streamCreated", "sending", "1 out, 0 in"),
        ("Session.streamCreated", "sendrecv", "1 out, 1 in"),
        ("Publisher.streamDestroyed", "receiving", "0 out, 1 in"),
        ("Session.streamDestroyed", "cleanup", "0 out, 0 in"),
        ("Session.connectionDestroyed", "waiting", "0 out, 0 in"),
        ("Session.connectionDestroyed", "init", "0 out, 0 in"),
    ):
        press(panel, f"Grace: {event} → {to}")
        shows(panel.locator(".person .pill"), to)
        expect(row).to_contain_text(streams)
    expect(row).to_contain_text("8, 0 odd")
    press(panel, "Grace: Walk through all states")
    expect(row).to_contain_text("16, 0 odd")
    press(panel, "Grace: Refresh")
    press(panel, "Grace: Leave")
    expect(row).to_contain_text("init, left")
    expect(panel.get_by_text("No guest of this page is in a room.")).to_be_visible()
    press(panel, "Delete the room")
    expect(panel.get_by_text("There is no room yet.")).to_be_visible()


@pytest.mark.parametrize("method", ["HMAC_SHA256", "HMAC_SHA256_V2"])
def test_rooms_and_streams_of_owt_are_managed_with_signatures_of_the_browser(
    visitor: Visitor, site: Gateway, credentials: Credentials, method: str
):
    panel = tab(visitor, site, "owt")
    panel.get_by_label("Method").select_option(method)
    name = f"room of {method}"
    panel.get_by_label("Name", exact=True).fill(name)
    press(panel, "Make a room")
    expect(panel.get_by_role("heading", name=name)).to_be_visible()
    expect(panel.get_by_text("No streams yet.")).to_be_visible()
    press(panel, "Add a streaming-in")
    forward = panel.get_by_role("row").filter(has_text="forward")
    expect(forward).to_have_count(1)
    expect(panel.get_by_role("row").filter(has_text="mixed")).to_have_count(1)
    forward.get_by_role("button", name="Pause audio of").click()
    expect(forward).to_contain_text("inactive")
    forward.get_by_role("button", name="Mix").click()
    expect(forward).to_contain_text("common")
    caller = Caller(site.http, credentials.super_service_id, credentials.super_service_key)
    (room,) = (each for each in caller.done("GET", "/v1/rooms") if each["name"] == name)
    streams = caller.done("GET", f"/v1/rooms/{room['_id']}/streams")
    (stored,) = (each for each in streams if each["type"] == "forward")
    assert (stored["media"]["audio"]["status"], stored["info"]["inViews"]) == ("inactive", ["common"])
    press(panel, "Make a token")
    expect(panel.get_by_text("To join with, once")).to_be_visible()
    panel.get_by_text("How the last call was signed").click()
    assert f"mauth_signature_method={method}," in panel.locator("dd pre").last.inner_text()
    forward.get_by_role("button", name="End").click()
    expect(forward).to_have_count(0)
    press(panel, f"Delete {name}")
    expect(panel.get_by_text("Open a room to see its streams.")).to_be_visible()
    assert caller.ask("GET", f"/v1/rooms/{room['_id']}")[0] == 404


def test_a_wrong_key_is_told_and_forgotten_once_a_call_succeeds(visitor: Visitor, site: Gateway):
    panel = tab(visitor, site, "owt")
    right = panel.get_by_label("Key").input_value()
    panel.get_by_label("Key").fill("wrong")
    press(panel, "List")
    expect(visitor.page.get_by_role("alert")).to_contain_text(
        "GET /v1/rooms?page=1&per_page=100 was refused: 401"
    )
    panel.get_by_label("Key").fill(right)
    press(panel, "List")
    expect(visitor.page.get_by_role("alert")).to_be_hidden()


def told(panel: Locator, name: str, text: str | re.Pattern[str]) -> Locator:
    return panel.get_by_role("region", name=name).locator(".news li").filter(has_text=text)


def test_both_clients_of_sora_are_told_of_a_change_that_is_pushed(visitor: Visitor, site: Gateway):
    panel = tab(visitor, site, "sora")
    panel.get_by_role("textbox", name="Channel").fill("walk")
    expect(panel.get_by_text("Connect a client first")).to_be_visible()
    for name in ("alice", "bob"):
        press(panel, f"{name}: Connect")
        expect(panel.get_by_role("row").filter(has_text=name)).to_have_count(1)
    expect(told(panel, "alice", "connection.created bob")).to_have_count(1)
    panel.get_by_label("Whose").select_option("bob")
    panel.get_by_label("Value (JSON)").fill('{"n": 1.50}')
    press(panel, "Change")
    for name in ("alice", "bob"):
        expect(told(panel, name, '"action":"PutMetadataItem"')).to_have_count(1)
    shows(panel.get_by_label("Answer"), '{"abc":{"n":1.50}}')
    panel.get_by_label("Push to the channel").uncheck()
    panel.get_by_label("Operation").select_option("PutSignalingNotifyMetadata")
    expect(panel.get_by_label("Value (JSON)")).to_be_hidden()
    panel.get_by_label("Metadata (JSON)").fill('{"name": "Bob"}')
    press(panel, "Change")
    expect(panel.get_by_role("row").filter(has_text="bob")).to_contain_text('{"name":"Bob"}')
    panel.get_by_label("Push to the channel").check()
    panel.get_by_label("Operation").select_option("DeleteSignalingNotifyMetadata")
    press(panel, "Change")
    for name in ("alice", "bob"):
        expect(told(panel, name, '"action":"DeleteMetadata"')).to_have_count(1)
        expect(told(panel, name, "push")).to_have_count(2)
    press(panel, "bob: Disconnect")
    expect(told(panel, "alice", "connection.destroyed bob")).to_have_count(1)
    expect(panel.get_by_role("row").filter(has_text="bob")).to_have_count(0)
    panel.get_by_label("Operation").select_option("PutSignalingNotifyMetadataItem")
    panel.get_by_label("Value (JSON)").fill("efg")
    press(panel, "Change")
    expect(visitor.page.get_by_role("alert")).to_contain_text("The value is no JSON")


def test_the_playground_can_be_used_by_keyboard_alone(visitor: Visitor, site: Gateway):
    page = visitor.page
    page.goto(f"{site.http}/playground/")
    panel = ready(page, "queue")
    expect(panel.get_by_text("watching room1@conference.meet.local")).to_be_visible()
    seen: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 40)"))
        if seen[-1] == "Add 1":
            page.keyboard.press("Enter")
        if seen[-1] == "Go live":
            shows(state(panel, "waiting"), "1")
            page.keyboard.press("Space")
            break
    assert seen[-1] == "Go live", seen
    assert "Waiting queue" in seen
    assert "Loop" not in seen, "of tabs only the chosen one is in the order; arrows lead to the others"
    shows(state(panel, "joined"), "1")
    page.locator("#tab-queue").focus()
    for key, name in (("ArrowRight", "loop"), ("End", "sora"), ("ArrowRight", "queue"), ("ArrowLeft", "sora"),
                      ("Home", "queue")):  # fmt: skip
        page.keyboard.press(key)
        expect(page.locator(f"#tab-{name}")).to_be_focused()
        expect(page.locator(f"#{name}")).to_be_visible()
        expect(page.locator("[role=tabpanel]:visible")).to_have_count(1)


def test_without_the_service_the_page_says_so_and_goes_on_once_it_is_back(visitor: Visitor, site: Gateway):
    panel = tab(visitor, site, "loop")
    visitor.context.set_offline(True)
    press(panel, "Make a room")
    expect(visitor.page.get_by_role("alert")).to_contain_text("The service does not answer")
    visitor.context.set_offline(False)
    press(panel, "Make a room")
    expect(panel.get_by_text("Nobody has come yet.")).to_be_visible()
    expect(visitor.page.get_by_role("alert")).to_be_hidden()


def test_without_keys_the_page_says_what_to_do_and_the_open_facades_work(visitor: Visitor, site: Gateway):
    keyless = Pages(settings.load({})).answer("GET", pages.CREDENTIALS, "", [(b"host", b"127.0.0.1")])
    assert keyless is not None
    visitor.page.route(
        f"**{pages.CREDENTIALS}", lambda route: route.fulfill(status=keyless[0], body=keyless[2])
    )
    page = visitor.page
    page.goto(f"{site.http}/playground/")
    expect(page.get_by_role("alert")).to_contain_text("make run gives it some")
    page.get_by_role("tab", name="Sora").click()
    expect(ready(page, "sora").get_by_text("Nobody is in the channel.")).to_be_visible()


def test_code_that_got_into_a_page_would_not_run(browser: Browser, site: Gateway):
    somebody = Visitor(browser)
    page = somebody.page
    page.goto(f"{site.http}/playground/")
    ready(page, "queue")
    for injected in (
        "const code = document.createElement('script'); code.textContent = 'window.pwned = 1';"
        "document.body.append(code)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.pwned=1>')",
        "document.body.setAttribute('onclick', 'window.pwned = 1'); document.body.click()",
    ):
        page.evaluate(f"() => {{ try {{ {injected} }} catch (error) {{ console.warn(error.message) }} }}")
    elsewhere = (
        "() => fetch('http://localhost:1/', {mode: 'no-cors'}).then(() => 'sent', error => error.name)"
    )
    assert page.evaluate(elsewhere) == "TypeError"
    assert page.evaluate("window.pwned") is None
    assert sum("Content Security Policy" in each for each in somebody.problems) >= 2, somebody.problems
    somebody.close()


def harmless(visitor: Visitor, panel: Locator) -> None:
    """No text has become an element, a handler or code."""
    made = panel.locator(
        "script, img, svg, iframe, style, link, object, embed, video, audio, form form, math, marquee"
    )
    assert made.count() == 0
    attributes = panel.evaluate(
        "place => [...place.querySelectorAll('*')].flatMap(each => each.getAttributeNames())"
        ".filter(name => name.startsWith('on') || name === 'href' || name === 'src' || name === 'style')"
    )
    assert attributes == []
    assert visitor.page.evaluate("window.pwned") is None
    assert visitor.problems == []


def test_names_and_metadata_stay_text(visitor: Visitor, site: Gateway, credentials: Credentials):
    visitor.page.on("dialog", lambda dialog: visitor.problems.append(f"dialog: {dialog.message}"))
    caller = Caller(site.http, credentials.super_service_id, credentials.super_service_key)
    names = list(PAYLOADS[: full(20, len(PAYLOADS))])
    for name in names:
        caller.done("POST", "/v1/rooms", {"name": name})
    panel = tab(visitor, site, "owt")
    shown = panel.locator("td.lead").all_text_contents()
    assert sorted(set(shown) & set(names)) == sorted(names)
    press(panel, f"Open {names[0]}")
    shows(panel.locator("h3"), names[0])
    harmless(visitor, panel)

    panel = tab(visitor, site, "sora")
    panel.get_by_role("textbox", name="Channel").fill(PAYLOADS[0])
    for name in ("alice", "bob"):
        press(panel, f"{name}: Connect")
        expect(panel.get_by_role("row").filter(has_text=name)).to_have_count(1)
    metadata = {text: text for text in PAYLOADS}
    panel.get_by_label("Operation").select_option("PutSignalingNotifyMetadata")
    panel.get_by_label("Metadata (JSON)").fill(json.dumps(metadata))
    press(panel, "Change")
    expect(told(panel, "bob", '"action":"PutMetadata"')).to_have_count(1)
    compact: Any = json.loads(panel.get_by_label("Answer").inner_text())
    assert compact == metadata
    pushed = told(panel, "bob", "push").inner_text().removeprefix("push ")
    assert json.loads(pushed)["metadata"] == metadata
    harmless(visitor, panel)

    panel = tab(visitor, site, "loop")
    panel.get_by_label("Room name").fill(PAYLOADS[4])
    press(panel, "Make a room")
    panel.get_by_label("Name", exact=True).fill(PAYLOADS[8])
    press(panel, "Join")
    shows(panel.locator("td.lead"), PAYLOADS[8])
    shows(panel.locator("strong"), PAYLOADS[4])
    harmless(visitor, panel)

    panel = tab(visitor, site, "queue")
    enter(panel, "<img src=x onerror=window.pwned=1>")
    expect(panel.get_by_text("connecting (Access denied)")).to_be_visible()
    press(panel, "Add 1")
    expect(panel.get_by_text("Not let in: Access denied; trying again")).to_be_visible()
    expect(wire(panel, "topic.<img src=x onerror=window.pwned=1>@conference").first).to_be_attached()
    harmless(visitor, panel)


@looks(1)
def test_every_page_is_accessible_and_fits_in_both_themes(
    browser: Browser, site: Gateway, scheme: Any, size: tuple[int, int]
):
    somebody = Visitor(browser, size=size, color_scheme=scheme)
    page = somebody.page

    def fits(what: str) -> None:
        assert (what, somebody.findings()) == (what, [])
        assert (what, max(0, somebody.overflow())) == (what, 0)

    page.goto(f"{site.http}/")
    expect(page.get_by_role("heading", name="Foyer on this machine")).to_be_visible()
    fits("root")
    panel = tab(somebody, site, "queue")
    enter(panel, f"axe-{scheme}-{size[0]}")
    left, right = (
        panel.get_by_role("heading", name=name).bounding_box() for name in ("Visitors", "Moderator")
    )
    one, ten = (
        panel.get_by_role("button", name=name, exact=True).bounding_box() for name in ("Add 1", "Add 10")
    )
    assert left is not None
    assert right is not None
    assert one is not None
    assert ten is not None
    assert one["y"] == ten["y"]
    assert (left["y"] == right["y"]) == (size == WIDE)
    press(panel, "Add 10")
    shows(state(panel, "waiting"), "10")
    press(panel, "Go live")
    shows(state(panel, "joined"), "10")
    panel.locator(".wire summary").first.click()
    fits("queue, live")
    panel = tab(somebody, site, "loop")
    press(panel, "Make a room")
    press(panel, "Join")
    expect(panel.get_by_role("row").filter(has_text="Guest 1")).to_have_count(1)
    fits("loop")
    panel = tab(somebody, site, "owt")
    panel.get_by_label("Name", exact=True).fill(f"axe {scheme} {size[0]}")
    press(panel, "Make a room")
    press(panel, "Add a streaming-in")
    expect(panel.get_by_role("row").filter(has_text="forward")).to_have_count(1)
    press(panel, "Make a token")
    panel.get_by_text("How the last call was signed").click()
    expect(panel.get_by_text("To join with, once")).to_be_visible()
    fits("owt")
    panel = tab(somebody, site, "sora")
    for name in ("alice", "bob"):
        press(panel, f"{name}: Connect")
        expect(panel.get_by_role("row").filter(has_text=name)).to_have_count(1)
    press(panel, "Change")
    expect(told(panel, "bob", "PutMetadataItem")).to_have_count(1)
    fits("sora")
    for name in ("alice", "bob"):
        press(panel, f"{name}: Disconnect")
        expect(panel.get_by_role("row").filter(has_text=name)).to_have_count(0)
    assert somebody.problems == []
    somebody.close()


@looks(1)
def test_the_reference_shows_every_operation_and_is_accessible(
    browser: Browser, site: Gateway, scheme: Any, size: tuple[int, int]
):
    somebody = Visitor(browser, size=size, color_scheme=scheme)
    page = somebody.page
    # It reads the whole document before it shows anything.
    page.goto(f"{site.http}/docs#post-/waiting-queue/golive", wait_until="commit")
    heading = page.get_by_role("heading", name="The conference is live: release everybody who waits")
    expect(heading).to_be_visible(timeout=3 * PATIENCE_MS)
    expect(page.get_by_role("button", name="TRY")).to_be_visible()
    expect(page.locator("rapi-doc")).to_have_attribute("theme", scheme)
    assert somebody.findings() == []
    assert max(0, somebody.overflow()) == 0
    page.get_by_role("button", name="TRY").click()
    expect(page.get_by_text("Unauthorized:401")).to_be_visible()
    assert somebody.problems == []
    assert somebody.hosts() == {site.http.partition("://")[2]}
    somebody.close()
