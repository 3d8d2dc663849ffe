"""What is wrong with a page, at each width that it has to stand?"""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WIDTHS = {1440: True, 390: True, 320: False}
"""In CSS pixels, and whether axe looks there as well: 320 is the layout of 390."""


BROKEN_WORDS = """() => [...document.querySelectorAll('.btn')].flatMap((button) => {
    const words = document.createTreeWalker(button, NodeFilter.SHOW_TEXT), broken = [];
    while (words.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(words.currentNode);
        const word = range.toString().trim();
        if (!/\\s|[-.@]/.test(word) && range.getClientRects().length > 1) broken.push(word);
    }
    return broken;
})"""
"""Single words on buttons that go on in the next line. Names of organizations may, by their hyphens."""


def troubles(page: Page) -> list[str]:
    """Give what axe finds, the widths at which the page scrolls sideways, and the words that break on buttons."""
    found = []
    for width, is_judged in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        violations = Axe().run(page).response["violations"] if is_judged else []
        found += [f"{each['id']} at {width}" for each in violations]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"scrolls sideways at {width}")
        found += [f"{word} is broken at {width}" for word in page.evaluate(BROKEN_WORDS)]
    return found
