"""A real browser for pages: the system's Chromium, driven by Playwright; tests skip with a reason where none is."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.helpers.suite_runs import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
"""Put there by `npm install --no-save axe-core`."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


@contextmanager
def page(started: Any, path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """A file's page, in a window of a width and a colour scheme; an error of its scripts fails the test."""
    context = started.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=AXE.is_file()
    )
    shown = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(path.as_uri())
    try:
        yield shown
    finally:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith("file:")] == []


def unfold(shown: Any) -> None:
    """Open all that is folded away."""
    shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")


def overflow(shown: Any) -> int:
    """Pixels by which the page is wider than its window."""
    return int(shown.evaluate("document.documentElement.scrollWidth - innerWidth"))
