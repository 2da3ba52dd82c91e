"""The browser of the tests sees what goes wrong in a page: a check that cannot fail proves nothing."""

from tests.support.browser import NARROW, Visitor

BAD = """<!doctype html><title>x</title><img src="http://elsewhere.invalid/x.png">
<div style="width: 500px">wide</div><button></button>"""


def test_errors_foreign_requests_overflow_and_findings_are_seen(browser):
    visitor = Visitor(browser, size=NARROW)
    visitor.page.set_content(BAD)
    visitor.page.evaluate("setTimeout(() => { throw new Error('boom') }); console.error('said')")
    visitor.page.wait_for_timeout(100)
    assert "error: said" in visitor.problems
    assert any("boom" in each for each in visitor.problems)
    assert "elsewhere.invalid" in visitor.hosts()
    assert visitor.overflow() > 100
    assert {each.partition(":")[0] for each in visitor.findings()} >= {"button-name", "image-alt"}
    visitor.close()
