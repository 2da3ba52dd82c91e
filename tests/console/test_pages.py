"""The pages as a person uses them, on made-up data: states, keys, themes, languages, hostile names."""

import json
import re
import time
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.console.conftest import sign_in
from tests.console.payloads import PAYLOADS
from tests.console.stand_in import connection
from tests.support.browser import NARROW
from tests.support.counts import FULL

CONFERENCE = "#/conference?name=townhall-2026%40conference.meet.example"
LISTS = ("jitsi", "owt", "loop", "wcs", "sora", "owed", "dead", "events")
PLACES = {
    "overview": "#/",
    **{name: f"#/{name}" for name in LISTS},
    "conference": CONFERENCE,
    "service": "#/service?id=5f2b1c0e9a7d4e30&name=clinic",
    "room": "#/room?id=6a1f0000c2e8d70b",
    "invitation": "#/invitation?id=r0a7c1",
    "channel": "#/channel?id=lecture-7",
    "lost": "#/nowhere",
}
PATHS = {
    "overview": "overview",
    "jitsi": "conferences",
    "owt": "owt/services",
    "loop": "loop/rooms",
    "wcs": "wcs/streams",
    "sora": "sora/channels",
    "owed": "owed",
    "dead": "dead",
    "events": "events",
}
EMPTY = {
    "jitsi": "No conferences",
    "owt": "No services",
    "loop": "No rooms",
    "wcs": "No streams",
    "sora": "No channels",
    "owed": "Nothing is owed",
    "dead": "No dead letters",
    "events": "No events yet",
}


IDS = {"id", "media_session_id", "request_id"}


def heading(page):
    return page.get_by_role("heading", level=1)


@pytest.mark.parametrize(
    "options",
    [{"color_scheme": "light"}, {"color_scheme": "dark", "size": NARROW}],
    ids=["light", "dark-360"],
)
def test_no_page_has_a_serious_finding_or_is_wider_than_the_window(look, stand_in, options):
    visitor = look(signed_in=False, **options)
    assert visitor.findings() == []
    assert visitor.overflow() == 0
    sign_in(visitor)
    visitor.page.wait_for_selector(".tiles")
    for name, place in PLACES.items():
        visitor.page.goto(f"{stand_in.url}/console/{place}")
        visitor.page.wait_for_selector(".tile, .rows, .facts, .state")
        if FULL or options["color_scheme"] == "light" or name in ("overview", "conference", "dead"):
            assert visitor.findings() == [], name
        assert visitor.overflow() == 0, name
        assert visitor.page.title().endswith("Foyer"), name
        assert heading(visitor.page).count() == 1, name


def test_the_menu_of_a_narrow_window_opens_and_closes(look):
    visitor = look(size=NARROW)
    page = visitor.page
    navigation = page.get_by_role("navigation", name="Pages")
    expect(navigation).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(navigation).to_be_visible()
    assert visitor.overflow() == 0
    assert visitor.findings() == []
    navigation.get_by_role("link", name="Dead letters").click()
    expect(heading(page)).to_have_text("Dead letters")
    expect(navigation).to_be_hidden()


def test_signing_in_says_what_was_wrong_and_signing_out_ends_it(look, stand_in):
    visitor = look(signed_in=False)
    page = visitor.page
    token = page.get_by_label("Operator token")
    expect(token).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Enter a token.")
    sign_in(visitor, "wrong")
    expect(page.get_by_role("alert")).to_have_text("This token is not known here.")
    expect(token).to_be_focused()
    stand_in.fail["session"] = (429, "too_many_attempts")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Too many wrong tokens")
    stand_in.fail.clear()
    sign_in(visitor)
    expect(heading(page)).to_have_text("Overview")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You have signed out.")).to_be_visible()
    assert stand_in.signed_in is False


def test_a_session_that_ends_asks_for_the_token_and_goes_on_at_the_same_page(look, stand_in):
    visitor = look(PLACES["dead"])
    page = visitor.page
    expect(page.get_by_text("connection refused")).to_be_visible()
    stand_in.signed_in = False
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text("Your session is over.")).to_be_visible()
    sign_in(visitor)
    expect(heading(page)).to_have_text("Dead letters")
    expect(page.get_by_text("connection refused")).to_be_visible()


def test_a_list_without_anything_says_what_would_be_there(look, stand_in):
    stand_in.conferences = {}
    stand_in.channels = {}
    for name in ("services", "loop", "wcs", "owed", "dead", "events"):
        setattr(stand_in, name, [])
    visitor = look()
    for name, words in EMPTY.items():
        visitor.page.goto(f"{stand_in.url}/console/{PLACES[name]}")
        expect(visitor.page.locator(".state h2")).to_have_text(words)
        assert len(visitor.page.locator(".state p").inner_text()) > 10
    assert visitor.findings() == []


def test_a_search_without_a_match_says_so_and_one_with_a_match_narrows_the_list(look, stand_in):
    visitor = look(PLACES["jitsi"])
    page = visitor.page
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(5)
    search = page.get_by_role("searchbox", name="Search by name")
    search.fill("town")
    expect(rows).to_have_count(2)
    assert "search=town" in page.url
    search.fill("nobody has this name")
    expect(page.get_by_text("Nothing found")).to_be_visible()
    search.fill("")
    expect(rows).to_have_count(5)


@pytest.mark.parametrize("place", [PLACES["service"], PLACES["wcs"]], ids=["service", "wcs"])
def test_a_search_that_stands_is_asked_once_and_says_so(look, stand_in, place):
    visitor = look()
    page = visitor.page
    page.clock.install()
    page.goto(f"{stand_in.url}/console/{place}")
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(3)
    search = page.get_by_role("searchbox", name="Search by name")
    search.fill("st")
    page.clock.run_for(1_000)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(search).to_be_focused()
    assert page.url.startswith(f"{stand_in.url}/console/{place}")
    expect(page.get_by_text("Updates pause while a search")).to_be_visible()
    stand_in.requests.clear()
    page.clock.run_for(90_000)
    page.wait_for_timeout(200)
    assert stand_in.requests == []
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_timeout(200)
    assert len(stand_in.requests) == 1
    path = stand_in.requests[0].removeprefix("GET ")
    stand_in.fail[path] = (503, "unavailable")
    search.fill("sta")
    page.clock.run_for(1_000)
    expect(page.get_by_role("alert")).to_contain_text("Storage does not answer right now.")
    stand_in.requests.clear()
    page.clock.run_for(90_000)
    page.wait_for_timeout(200)
    assert stand_in.requests == []
    stand_in.fail.clear()
    search.fill("")
    page.clock.run_for(1_000)
    expect(rows).to_have_count(3)
    stand_in.requests.clear()
    page.clock.run_for(21_000)
    page.wait_for_timeout(200)
    assert stand_in.requests != []


def test_owed_work_shows_why_it_failed_its_next_try_and_that_there_is_more(look, stand_in):
    visitor = look(PLACES["owed"])
    page = visitor.page
    row = page.locator("tbody tr").filter(has_text="wcs.end")
    expect(row).to_contain_text("the server answered 503")
    expect(row).to_contain_text(re.compile(r"in [34] min"))
    expect(page.get_by_text("There are more.")).to_have_count(0)
    stand_in.owed[:] = [stand_in.owed[0] | {"attempts": number} for number in range(101)]
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("tbody tr")).to_have_count(100)
    expect(page.get_by_text("There are more.")).to_be_visible()


def test_as_many_letters_as_are_chosen_are_retried_and_none_is_forgotten_when_that_fails(look, stand_in):
    one = stand_in.dead[0]
    stand_in.dead[:] = [one | {"id": f"d{number}", "reason": f"reason {number}"} for number in range(70)]
    visitor = look(PLACES["dead"])
    page = visitor.page
    page.get_by_role("button", name="Show more").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(70)
    page.evaluate("[...document.querySelectorAll('tbody input')].slice(5).forEach(each => each.click())")
    button = page.get_by_role("button", name="Retry chosen (65)")
    stand_in.fail["dead/retry"] = (503, "unavailable")
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator(".toast.failed")).to_be_visible()
    page.get_by_role("button", name="Show more").click()
    stand_in.fail.clear()
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Retried: 65.")).to_be_visible()
    expect(rows).to_have_count(5)


def test_what_fails_says_why_names_the_request_and_can_be_tried_again(look, stand_in):
    visitor = look()
    page = visitor.page
    for name, path in PATHS.items():
        stand_in.fail[path] = (503, "unavailable")
        page.goto(f"{stand_in.url}/console/#/lost")
        expect(heading(page)).to_have_text("Page not found")
        page.goto(f"{stand_in.url}/console/{PLACES[name]}")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Storage does not answer right now."), name
        expect(alert).to_contain_text("req-stand-in"), name
        if FULL:
            assert visitor.findings() == [], name
        stand_in.fail.clear()
        alert.get_by_role("button", name="Retry").click()
        expect(alert).to_have_count(0), name


def test_what_is_shown_stays_when_a_later_answer_fails(look, stand_in):
    visitor = look(PLACES["wcs"])
    page = visitor.page
    expect(page.get_by_text("lobby-camera")).to_be_visible()
    stand_in.fail["wcs/streams"] = (500, "internal")
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text("The server failed.")).to_be_visible()
    expect(page.get_by_text("You see what was there at")).to_be_visible()
    expect(page.get_by_text("lobby-camera")).to_be_visible()


def test_while_an_answer_is_on_its_way_the_page_says_so(look, stand_in):
    visitor = look()
    stand_in.slow_s = 1.0
    visitor.page.goto(f"{stand_in.url}/console/{PLACES['dead']}")
    expect(visitor.page.locator(".bones")).to_be_visible()
    expect(visitor.page.get_by_role("status").filter(has_text="Loading")).to_be_attached()
    assert visitor.findings() == []
    expect(visitor.page.locator("tbody tr")).to_have_count(3)


def test_without_a_connection_what_was_there_stays_and_the_page_goes_on_by_itself(look, stand_in):
    visitor = look(PLACES["dead"])
    page = visitor.page
    expect(page.locator("tbody tr")).to_have_count(3)
    visitor.context.set_offline(True)
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text("No connection")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(3)
    assert visitor.findings() == []
    stand_in.dead.pop()
    visitor.context.set_offline(False)
    expect(page.get_by_text("No connection")).to_have_count(0)
    expect(page.locator("tbody tr")).to_have_count(2)
    visitor.context.set_offline(True)
    page.goto(f"{stand_in.url}/console/#/wcs")
    expect(page.get_by_role("alert").filter(has_text="No connection")).to_be_visible()
    visitor.context.set_offline(False)
    expect(page.get_by_text("lobby-camera")).to_be_visible()


def test_hostile_names_and_metadata_stay_text(look, stand_in):
    assert len(set(PAYLOADS)) == 60
    now = int(time.time() * 1000)
    stand_in.conferences = {
        text: {
            "name": text,
            "watched": False,
            "live": False,
            "live_since": None,
            "live_until": None,
            "epoch": 1,
            "moderators": 0,
            "shards": 1,
            "counts": [1],
        }
        for text in PAYLOADS
    }
    for rows, field in (
        (stand_in.wcs, "name"),
        (stand_in.services, "name"),
        (stand_in.loop, "name"),
        (stand_in.dead, "reason"),
        (stand_in.events, "route"),
        (stand_in.owed, "reason"),
    ):
        sample = rows[0]
        rows[:] = [
            {**sample, **{name: str(at) for name in IDS & sample.keys()}, field: text}
            | ({"at": now - at} if "at" in sample else {})
            for at, text in enumerate(PAYLOADS)
        ]
    stand_in.channels = {text: [connection(text, text, text, {text: text})] for text in PAYLOADS}
    visitor = look()
    page = visitor.page
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    for name in LISTS:
        page.goto(f"{stand_in.url}/console/{PLACES[name]}")
        if name != "owed":
            page.get_by_role("button", name="Show more").click()
        expect(page.locator("tbody tr")).to_have_count(60)
        shown = page.locator("tbody td.lead, tbody td[data-label='Reason']").all_text_contents()
        assert [text for text in PAYLOADS if not any(text in each for each in shown)] == [], name
    for text in PAYLOADS[:: 1 if FULL else 4]:
        page.evaluate("place => { location.hash = place }", f"#/channel?{urlencode({'id': text})}")
        expect(heading(page)).to_have_text(text, use_inner_text=False)
        expect(page.locator("tbody pre")).to_contain_text(json.dumps(text, ensure_ascii=False))
    page.evaluate("place => { location.hash = place }", f"#/conference?{urlencode({'name': PAYLOADS[6]})}")
    page.get_by_role("button", name="Go live").click()
    expect(page.get_by_role("dialog")).to_contain_text(PAYLOADS[6])
    assert page.evaluate("window.hit") is None
    strange = "script:not([src]), iframe, object, embed, base, meta[http-equiv], link[href*='elsewhere']"
    assert page.locator(strange).count() == 0
    assert (
        page.evaluate(
            "[...document.querySelectorAll('#app *')].filter(each => /^javascript:/i.test(each.href || '')"
            " || [...each.attributes].some(one => one.name.startsWith('on'))).length"
        )
        == 0
    )


def test_keys_are_enough_to_sign_in_find_a_conference_and_make_it_live(look, stand_in):
    visitor = look(signed_in=False)
    page = visitor.page
    page.keyboard.type("stand-in")
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text("Overview")

    def walk_to(role: str, name: str) -> None:
        target = page.get_by_role(role, name=name).first
        expect(target).to_be_visible()
        for _ in range(60):
            page.keyboard.press("Tab")
            if target.evaluate("node => node === document.activeElement"):
                outline = target.evaluate("node => getComputedStyle(node).outlineStyle")
                assert outline != "none", "what has the focus can be seen"
                return
        raise AssertionError(f"no way to {name} by Tab")

    walk_to("link", "Skip to the content")
    page.keyboard.press("Enter")
    expect(heading(page)).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    walk_to("link", "Conferences")
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text("Conferences")
    expect(heading(page)).to_be_focused()
    walk_to("link", "townhall-2026")
    page.keyboard.press("Enter")
    expect(page.locator("#waiting")).to_have_text("1,843")
    walk_to("button", "Go live")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1,843 visitors are waiting.")
    assert visitor.findings() == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Go live")).to_be_focused()
    assert not stand_in.conferences["townhall-2026@conference.meet.example"]["live"]
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    for _ in range(4):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    dialog.get_by_role("button", name="Go live").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#waiting")).to_have_text("0")
    expect(page.locator(".pill").filter(has_text="Live")).to_be_visible()
    expect(page.get_by_text("Its visitors are being let in.")).to_be_visible()
    page.get_by_role("button", name="End live state").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="End live state").press("Enter")
    expect(page.locator(".pill").filter(has_text="Waiting")).to_be_visible()


def test_dead_letters_are_chosen_retried_and_dropped_and_what_stays_says_why(look, stand_in):
    visitor = look(PLACES["dead"])
    page = visitor.page
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    retry = page.get_by_role("button", name=re.compile("^Retry chosen"))
    expect(retry).to_be_disabled()
    page.get_by_role("checkbox", name="Choose sora.upstream: connection refused").check()
    expect(retry).to_have_text("Retry chosen (1)")
    retry.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Retried: 1.")).to_be_visible()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Retry all").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry all").click()
    expect(rows).to_have_count(1)
    stand_in.dead.append(stand_in.dead[0] | {"id": "d9", "kind": "owt.push", "replayable": True})
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("checkbox", name="Choose owt.push").check()
    stand_in.dead.pop()
    retry.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Not done: 1")).to_be_visible()
    expect(rows).to_have_count(1)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Drop chosen (1)").click()
    page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    expect(page.get_by_text("No dead letters")).to_be_visible()


def test_a_write_that_is_refused_says_so(look, stand_in):
    visitor = look(CONFERENCE)
    page = visitor.page
    stand_in.fail["conference/golive"] = (403, "csrf")
    page.get_by_role("button", name="Go live").click()
    page.get_by_role("dialog").get_by_role("button", name="Go live").click()
    expect(page.locator(".toast")).to_contain_text("Reload the page and try again.")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_pages_of_a_list_are_added_and_stand_until_it_is_refreshed(look, stand_in):
    one = stand_in.wcs[0]
    stand_in.wcs[:] = [one | {"name": f"stream-{at:03}", "media_session_id": str(at)} for at in range(120)]
    visitor = look(PLACES["wcs"])
    page = visitor.page
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    expect(page.get_by_text("Updates pause")).to_be_visible()
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(120)
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    page.get_by_role("button", name="Refresh").click()
    expect(rows).to_have_count(50)


def test_language_and_theme_are_kept(look, stand_in):
    visitor = look(color_scheme="light")
    page = visitor.page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Theme").select_option("dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.get_by_label("Language").select_option("ja")
    expect(heading(page)).to_have_text("概要")
    assert page.evaluate("document.documentElement.lang") == "ja"
    page.reload()
    expect(heading(page)).to_have_text("概要")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert visitor.findings() == []


def test_every_page_speaks_japanese_and_fits_a_narrow_window(look, stand_in):
    visitor = look(locale="ja-JP", size=NARROW)
    for name, place in PLACES.items():
        visitor.page.goto(f"{stand_in.url}/console/{place}")
        visitor.page.wait_for_selector(".tile, .rows, .facts, .state")
        assert visitor.overflow() == 0, name
        spoken = visitor.page.locator(
            ".main th, .main dt, .main .said, .main button, .main h2"
        ).all_inner_texts()
        english = [text for text in spoken if re.fullmatch(r"[A-Za-z ,.()0-9]{4,}", text.strip())]
        assert [text for text in english if not re.match(r"(Jitsi|Loop|Sora)", text)] == [], name


def test_an_open_page_asks_four_times_a_minute_and_nothing_while_nobody_sees_it(look, stand_in, browser):
    visitor = look()
    page = visitor.page
    page.clock.install()
    for place in ("#/", CONFERENCE, PLACES["dead"], PLACES["channel"]):
        page.goto(f"{stand_in.url}/console/{place}")
        page.reload()
        page.wait_for_selector(".tile, .rows, .facts")
        stand_in.requests.clear()
        for _ in range(4):
            before = len(stand_in.requests)
            page.clock.run_for(15_000)
            deadline = time.monotonic() + 5
            while len(stand_in.requests) == before and time.monotonic() < deadline:
                page.wait_for_timeout(20)
            page.wait_for_timeout(50)
        assert len(stand_in.requests) == 4, place
        if place == CONFERENCE:
            assert set(stand_in.requests) == {"GET conference/counts"}
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    stand_in.requests.clear()
    page.clock.run_for(120_000)
    page.wait_for_timeout(200)
    assert stand_in.requests == []


def test_the_counts_of_a_conference_come_in_turn_and_all_at_once_when_it_changes(look, stand_in):
    visitor = look()
    page = visitor.page
    page.clock.install()
    page.goto(f"{stand_in.url}/console/{CONFERENCE}")
    page.reload()
    expect(page.locator("#waiting")).to_have_text("1,843")
    row = stand_in.conferences["townhall-2026@conference.meet.example"]
    row["counts"] = [0] * 16
    seen = []
    for _ in range(4):
        before = len(stand_in.requests)
        page.clock.run_for(15_000)
        while len(stand_in.requests) == before:
            page.wait_for_timeout(20)
        page.wait_for_timeout(100)
        seen.append(int(page.locator("#waiting").inner_text().replace(",", "")))
    assert seen[-1] == 0
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 4
    row["counts"] = [5] * 16
    row["live"], row["live_since"] = True, 1
    page.clock.run_for(15_000)
    expect(page.locator("#waiting")).to_have_text("80")
    expect(page.locator(".pill").filter(has_text="Live")).to_be_visible()


def test_what_was_counted_last_is_there_before_everybody_is_counted_anew(look, stand_in):
    visitor = look()
    page = visitor.page
    stand_in.fail["conference"] = (503, "unavailable")
    page.goto(f"{stand_in.url}/console/{CONFERENCE}")
    expect(page.locator("#waiting")).to_have_text("1,843")
    expect(page.get_by_text("The last count.")).to_be_visible()
    expect(page.get_by_text("Storage does not answer right now.")).to_be_visible()
    stand_in.fail.clear()
    stand_in.conferences["townhall-2026@conference.meet.example"]["counts"] = [1] * 16
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#waiting")).to_have_text("16")
    expect(page.get_by_text("Counted in parts")).to_be_visible()
