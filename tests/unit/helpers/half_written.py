"""What a run that was killed may have left half-written in a cache or among reports."""

import json
from pathlib import Path
from typing import Literal

import numpy as np

from npu_conformance.baselines.stored import read_baseline
from npu_conformance.report.cards.card import card
from npu_conformance.report.cards.front_matter import front_matter
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import Language

_END_OF_PICTURE = b"IEND\xaeB`\x82"
_LANGUAGES: dict[str, Literal["en", "zh"]] = {"details.md": "en", "details.zh.md": "zh"}


def half_written(folder: Path) -> list[str]:
    """Files that are not whole, of those that are under their own names: what is staged begins with a dot."""
    broken = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or "logs" in path.parts:
            continue
        try:
            _read(path)
        except Exception as error:  # whatever a reader of it would meet
            broken.append(f"{path}: {error}")
    return broken


def _read(path: Path) -> None:
    if path.parent.parent.name == "baselines":
        read_baseline(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".npy":
        np.load(path, allow_pickle=False)
    elif path.suffix == ".png":
        if not path.read_bytes().endswith(_END_OF_PICTURE):
            raise ValueError("ends before its last chunk")
    elif path.suffix == ".html":
        if not path.read_text(encoding="utf-8").endswith("</html>"):
            raise ValueError("ends before its last tag")
    elif path.suffix == ".md" and path.name not in _LANGUAGES:
        report = Report.model_validate_json((path.parent / "report.json").read_bytes())
        language: Language = "zh" if path.name.endswith(".zh.md") else "en"
        model = report.models[0]
        front = [] if path.name.startswith("report.") else front_matter(View(report, model, language))
        if path.read_text(encoding="utf-8") != "\n".join([*front, *card(report, model, language)]):
            raise ValueError("is not what report.json is rendered into")
    elif path.name in _LANGUAGES:
        report = Report.model_validate_json((path.parent / "report.json").read_bytes())
        if path.read_text(encoding="utf-8") != render_markdown(report, _LANGUAGES[path.name]):
            raise ValueError("is not what report.json is rendered into")
