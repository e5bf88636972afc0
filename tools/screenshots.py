"""Pictures of pages and of a card for the docs: `python -m tools.screenshots PASSING FAILING [MODEL]`.

PASSING and FAILING are report folders; it needs Playwright and a Chromium (`chromium` in the PATH).
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
_WINDOW = {"width": 1240, "height": 900}
_SIGNS: dict[str, str | int | None] = {"✅": "✓", "❌": "✗", "⏭": "–", "❓": "?", "⛔": "!"}
_STYLE = (
    "<meta charset=utf-8><style>body{font:15px/1.5 sans-serif;margin:24px;max-width:1000px}"
    "table{border-collapse:collapse}"
    "td,th{border:1px solid #d0d7de;padding:4px 10px}th{background:#f6f8fa}pre{background:#f6f8fa;padding:10px}"
    "blockquote{margin:0;padding-left:12px;border-left:4px solid #d0d7de}h2{border-bottom:1px solid #d0d7de}</style>"
)


def card_page(path: Path) -> str:
    """A card as a viewer of GitHub's flavour of Markdown shows it, with signs that every font has."""
    text = path.read_text(encoding="utf-8").translate(str.maketrans(_SIGNS))
    text = text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text  # front matter is for the hub alone
    return _STYLE + str(MarkdownIt("commonmark").enable("table").render(text))


def take(browser: Any, passing: Path, failing: Path, model: str) -> list[Path]:
    """Take all pictures; returns their files."""
    PICTURES.mkdir(exist_ok=True)
    shown = browser.new_page(viewport=_WINDOW, color_scheme="light")
    made = []

    def shoot(name: str, path: Path, part: str | None = None) -> None:
        shown.goto(path.resolve().as_uri())
        place = PICTURES / f"{name}.png"
        (shown.locator(part).first if part else shown).screenshot(path=place)
        made.append(place)

    shoot("index", passing / "index.html", "main .scroll")
    shoot("passing", passing / f"{model}.html")
    shoot("passing-zh", passing / f"{model}.zh.html")
    shoot("failing", failing / f"{model}.html")
    shoot("failing-layers", failing / f"{model}.html", "#layers")
    shown.goto((passing / f"{model}.html").resolve().as_uri())
    shown.evaluate("document.getElementById('answers').scrollIntoView()")
    shown.locator("#answers .token.q2, #answers .token.q1").first.hover()
    made.append(PICTURES / "tokens.png")
    shown.screenshot(path=made[-1])
    shown.goto("about:blank")
    shown.set_content(card_page(passing / f"{model}.zh.md"))
    made.append(PICTURES / "card-zh.png")
    shown.screenshot(path=made[-1])
    return made


def main(passing: str, failing: str, model: str = "Qwen3Guard-Gen-4B") -> None:
    """Take them, and print their files."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for path in take(browser, Path(passing), Path(failing), model):
            print(path)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
