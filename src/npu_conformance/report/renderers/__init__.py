"""The files a report is rendered into, besides report.json: a module each, of which nothing else knows.

A module has `render(report, folder, languages)`, which writes its files whole and returns their paths.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from npu_conformance.report.model import Report
from npu_conformance.report.words import LANGUAGES, Language


def renderer_names() -> tuple[str, ...]:
    """All of them."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def render(report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Write everything that is made of a report, and of nothing else, in these languages; returns the files."""
    return [path for name in renderer_names() for path in render_by(name, report, folder, languages)]


def render_by(name: str, report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """The same by one of them."""
    written: list[Path] = import_module(f"{__name__}.{name}").render(report, folder, languages)
    return written
