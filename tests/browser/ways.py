"""How does a person go through a page? By mouse, by keyboard alone, or on a phone; each as a browser lets them."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

MOST_TABS = 80
"""So many elements lie between two that a person wants, at most."""

HAS_FOCUS = "each => each === document.activeElement"


class Way:
    """What a person does to a page. Everything is found by the name that it is read out with."""

    width = 1440
    has_touch = False

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, wanted: Locator) -> None:
        """Use a button or a link."""
        raise NotImplementedError

    def choose(self, wanted: Locator) -> None:
        """Choose one of several."""
        self.press(wanted)
        expect(wanted).to_be_checked()

    def tick(self, wanted: Locator) -> None:
        """Tick a box."""
        self.press(wanted)
        expect(wanted).to_be_checked()

    def type(self, wanted: Locator, text: str) -> None:
        """Write into a field."""
        self.press(wanted)
        self.page.keyboard.type(text)


class Mouse(Way):
    """A desk, and a mouse to click with."""

    def press(self, wanted: Locator) -> None:
        wanted.click()


class Phone(Way):
    """A small screen that is touched."""

    width = 390
    has_touch = True

    def press(self, wanted: Locator) -> None:
        wanted.tap()


class Keyboard(Way):
    """A desk without a mouse: on a new page past its head by the skip link, then on by Tab."""

    def press(self, wanted: Locator) -> None:
        self._go_to(wanted)
        self.page.keyboard.press("Enter")

    def choose(self, wanted: Locator) -> None:
        among = self.page.get_by_role("radio")
        self._go_to(among)
        for _ in range(among.count()):
            if wanted.is_checked():
                return
            self.page.keyboard.press("ArrowDown")
        expect(wanted).to_be_checked()

    def tick(self, wanted: Locator) -> None:
        self._go_to(wanted)
        self.page.keyboard.press("Space")
        expect(wanted).to_be_checked()

    def type(self, wanted: Locator, text: str) -> None:
        self._go_to(wanted)
        self.page.keyboard.type(text)

    def _go_to(self, wanted: Locator) -> None:
        expect(wanted.first).to_be_visible()
        for _ in range(MOST_TABS):
            if wanted.evaluate_all("all => all.includes(document.activeElement)"):
                expect(self.page.locator(":focus")).to_be_in_viewport()
                return
            self.page.keyboard.press("Tab")
            if self.page.get_by_role("link", name="Skip to content").evaluate(HAS_FOCUS):
                self.page.keyboard.press("Enter")
        raise AssertionError(f"{MOST_TABS} times Tab do not lead to {wanted}")
