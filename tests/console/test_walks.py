"""The console on a real gateway: what an operator does from signing in to a released conference."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from playwright.sync_api import expect

from chalicelib import settings
from chalicelib.jitsi import store as queue
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt.store import rooms, services
from chalicelib.realtime import fronts
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, writes
from infra.children import Gateway
from tests.admin.api import TOKEN, hashed
from tests.conftest import GatewayFactory
from tests.console.conftest import sign_in
from tests.loop.api import register
from tests.owt import documents
from tests.sora import api as sora
from tests.support import receiver
from tests.support.browser import Visitor
from tests.support.clients import ROOM, visitor
from tests.support.counts import a_second, full
from tests.support.receiver import Receiver, answering
from tests.wcs.server import NODE
from tests.wcs.test_races import Far

VISITORS = 50
POLL_MS = 15_000


@pytest.fixture(scope="module")
def server() -> Iterator[Receiver]:
    """A media server that is told of ends."""
    with receiver.receiving() as running:
        yield running


@pytest.fixture(scope="module")
def ours(standing: GatewayFactory, server: Receiver) -> Gateway:
    """A gateway with an operator, which sums up what it served every second."""
    return standing(
        ADMIN_TOKENS=f"ops:{hashed(TOKEN)}",
        ADMIN_ROLLUP_FLUSH_S="0.5",
        FOYER_SWEEP_INTERVAL_S="1",
        WCS_SERVERS=f"{NODE}={server.url}",
    )


@pytest.fixture
def window(browser, ours) -> Iterator[Visitor]:
    """Somebody who has signed in, as a person does."""
    opened = Visitor(browser)
    opened.page.clock.install()
    opened.page.goto(f"{ours.http}/console/")
    sign_in(opened, TOKEN)
    expect(opened.page.get_by_role("heading", level=1)).to_have_text("Overview")
    yield opened
    opened.close()
    assert opened.problems == []
    assert opened.hosts() == {ours.http.removeprefix("http://")}


def until(window: Visitor, seen: Callable[[], bool], within_s: float = 40) -> None:
    """Let the page's time run, a poll at a time, until something is to be seen.  Nobody presses a button."""
    end = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < end, window.page.locator("main").inner_text()
        window.page.clock.fast_forward(POLL_MS)
        window.page.wait_for_timeout(400)


def test_from_signing_in_to_a_released_conference(window, ours, credentials):
    page = window.page
    waiting = page.locator(".tile").filter(has_text="Waiting visitors").locator(".much")
    until(window, lambda: waiting.inner_text() == "0")
    with ExitStack() as crowd:
        joined = [
            crowd.enter_context(visitor(ours.ws, credentials.visitor_token())) for _ in range(VISITORS - 10)
        ]
        until(window, lambda: waiting.inner_text() == str(VISITORS - 10))
        joined += [crowd.enter_context(visitor(ours.ws, credentials.visitor_token())) for _ in range(10)]
        until(window, lambda: waiting.inner_text() == str(VISITORS))

        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Conferences").click()
        page.get_by_role("link", name=ROOM).click()
        big = page.locator("#waiting")
        expect(big).to_have_text(str(VISITORS))
        joined.append(crowd.enter_context(visitor(ours.ws, credentials.visitor_token())))
        until(window, lambda: big.inner_text() == str(VISITORS + 1))

        page.get_by_role("button", name="Go live").click()
        page.get_by_role("dialog").get_by_role("button", name="Go live").click()
        for client in joined:
            assert client.frame(30)[0] == "MESSAGE"
        until(window, lambda: big.inner_text() == "0")
        expect(page.locator(".pill").filter(has_text="Live")).to_be_visible()
        for client in joined:
            client.close()
    page.get_by_role("button", name="End live state").click()
    page.get_by_role("dialog").get_by_role("button", name="End live state").click()
    until(window, lambda: page.locator(".pill").filter(has_text="Waiting").count() == 1)
    assert window.findings() == []

    page.get_by_role("link", name="Overview").click()
    released = page.locator(".facade.hue-jitsi dl div").filter(has_text="Releases").locator("dd")
    until(window, lambda: released.inner_text() != "0")


def test_a_dead_letter_is_made_seen_retried_and_gone(window, ours, server):
    server.usual = answering(403)
    far = Far(ours)
    assert far.tell(name="camera-7") == 200
    assert far.post("/rest-api/stream/terminate", b'{"name": "camera-7"}')[0] == 200
    page = window.page
    tile = page.locator(".tile").filter(has_text="Dead letters").locator(".much")
    until(window, lambda: tile.inner_text() == "1")
    tile.click()
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("wcs.end")
    expect(row).to_contain_text("403")
    assert window.findings() == []
    server.usual = answering(200)
    asked = len(server.requests)
    row.get_by_role("button", name=re.compile("^Retry")).click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Retried: 1.")).to_be_visible()
    expect(page.get_by_text("No dead letters")).to_be_visible()
    end = time.monotonic() + 30
    while len(server.requests) == asked:
        assert time.monotonic() < end, "the media server is told once more"
        time.sleep(0.05)
    page.get_by_role("link", name="Streams").click()
    expect(page.locator("tbody tr").filter(has_text="camera-7")).to_be_visible()
    assert window.findings() == []


def test_events_of_all_systems_are_found_by_the_id_of_their_request(window, ours):
    page = window.page
    far = Far(ours)
    assert far.tell(name="camera-8") == 200
    page.get_by_role("link", name="Events").click()
    rows = page.locator("tbody tr")
    until(window, lambda: rows.filter(has_text="/rest/{api}/{hook}").count() > 0)
    found = rows.filter(has_text="/rest/{api}/{hook}").first.locator("td").last.get_by_role("link")
    identity = found.inner_text()
    found.click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(identity)
    expect(page.get_by_role("searchbox")).to_have_value(identity)


def reads(window: Visitor, text: str) -> bool:
    """Whether a text is to be read on the page."""
    return text in window.page.locator("main").inner_text()


def first_view(window: Visitor, address: str, selector: str) -> float:
    """After how many seconds a page shows something, in a browser that has a session and nothing else."""
    browser = window.context.browser
    assert browser is not None
    fresh = Visitor(browser, storage_state=window.context.storage_state())
    try:
        began = time.monotonic()
        fresh.page.goto(address)
        fresh.page.locator(selector).first.wait_for()
        took = time.monotonic() - began
        assert any(each.endswith("/uplot.js") for each in fresh.requests)
        assert fresh.problems == []
        return took
    finally:
        fresh.close()


def test_every_kind_of_room_and_what_is_owed_is_opened_from_its_list(window, ours, entered, monkeypatch):
    monkeypatch.setenv("ADMIN_TOKENS", f"ops:{hashed(TOKEN)}")
    settings.reset()  # names are noted where there are operators
    rooms.create(services.the_super_service().id, documents.room(name="Ward 7").document, check_service=False)
    answer = register().post("/rooms", {"roomName": "Review", "maxSize": 2, "roomOwner": "Ada"})
    assert answer.status == 201
    sora.come()
    due = keys.due("wcs.end", "walk")
    writes.put(OwedRow("walk", "-", due=due, due_at=time.time() + 3_000, attempts=2, failed="it was busy"))
    page = window.page
    for link, steps, seen in (
        ("Services", ("superService", "Ward 7"), "Nobody is in the room"),
        ("Invitations", ("Review",), "Ada"),
        ("Channels", (sora.CHANNEL,), sora.CONNECTION),
        ("Owed work", (), "it was busy"),
    ):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=link).click()
        for step in steps:
            page.get_by_role("link", name=step, exact=True).click()
        until(window, partial(reads, window, seen))
        assert window.findings() == [], link


def test_pages_of_a_busy_stage_are_there_within_a_second(window, ours, entered, monkeypatch):
    """Under 10,000 who wait and 1,000 rooms.  Whatever else keeps the machine busy makes a second longer."""
    second = a_second()
    window.page.goto("about:blank")  # an open console would have everybody counted over and over
    name = f"busy@{ROOM.partition('@')[2]}"
    waiting, many = full(2_000, 10_000), full(100, 1_000)
    partitions = queue.partitions(name, 1)
    (front,) = fronts.alive(fresh=True)
    until_s = int(time.time()) + 3600
    for begin in range(0, waiting, 25):
        writes.batch(
            [
                SubscriptionRow(
                    partitions[at % len(partitions)],
                    f"t{at}.s{at}",
                    front=front,
                    data="0",
                    expires_at=until_s,
                )
                for at in range(begin, min(begin + 25, waiting))
            ]
        )
    monkeypatch.setenv("ADMIN_TOKENS", f"ops:{hashed(TOKEN)}")
    settings.reset()  # names are noted where there are operators
    queue.note(name)
    queue.note_count(name, waiting)
    assert [int(row.waiting) for row in queue.noted_after("", 1)[0]] == [waiting]
    service = services.the_super_service().id
    for number in range(many):
        rooms.create(service, documents.room(name=f"room {number}").document, check_service=False)
    page = window.page
    place = f"#/conference?name={name.replace('@', '%40')}"
    for address, selector in (
        ("#/", ".tile .much"),
        (place, "#waiting"),
        (f"#/service?id={service}", ".rows"),
    ):
        took: list[float] = []
        while not took or (min(took) > second and len(took) < 5):
            took.append(first_view(window, f"{ours.http}/console/{address}", selector))
        print(f"the first view of {address} took {min(took):.2f} s; a second was {second:.2f} s")
        assert min(took) <= second, (address, took)
    page.goto(f"{ours.http}/console/#/service?id={service}")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.goto(f"{ours.http}/console/{place}")
    until(window, lambda: page.locator("#waiting").inner_text() == f"{waiting:,}")
