"""What CI systems read: figures as properties of a test in JUnit's XML, and GitHub's annotations of what failed."""

import os
from collections.abc import Iterable

from npu_conformance.errors import printable
from npu_conformance.measure.results import Result
from npu_conformance.report.causes import Cause, causes
from npu_conformance.report.messages import allowed, number
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.words import title

_MOST = 10
"""Annotations of a step that GitHub shows."""


def figure_properties(results: Iterable[Result]) -> list[tuple[str, str]]:
    """Name and value of each figure, its limit and its n; of the prefill path `metric/prefill`, elsewhere `@place`."""
    found = []
    for one in results:
        name = one.metric + ("/prefill" if one.path == "prefill" else "")
        name += "" if one.at == "answers" else f"@{one.at}"
        if one.observed is not None:
            found.append((name, number(one.observed)))
            found += [(f"{name}.limit", allowed(one))] if one.limit is not None else []
            found += [(f"{name}.n", str(one.n))] if one.n is not None else []
        found.append((f"{name}.verdict", one.verdict))
    return found


def on_github() -> bool:
    """Whether a step of GitHub Actions reads what is printed."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotations(report: Report) -> list[str]:
    """A line a cause of what failed, and one a model in error, as GitHub takes them."""
    found = []
    for model in report.models:
        found += [_line(model, _text(cause)) for cause in causes(model)]
        if model.verdict == "error":
            reason = next((one.message for one in model.checks if one.verdict == "error" and one.message), "error")
            found.append(_line(model, reason))
    return found[:_MOST]


def _text(cause: Cause) -> str:
    parts = [f"failed in {', '.join(cause.variants)}"]
    parts += [f"first bad layer {cause.layer}"] if cause.layer else []
    for one in cause.first[:1]:
        measured = "" if one.observed is None else f": {title('en', one)} is {number(one.observed)}, {allowed(one)}"
        parts.append(f"{one.check}{measured}")
    return "; ".join(parts)


def _line(model: ModelReport, text: str) -> str:
    """Escaped, so that no text can end the line and begin a command of its own."""
    kind = " (twin)" if model.subject == "twin" else ""
    head = _escaped(f"{model.name}{kind}").replace(":", "%3A").replace(",", "%2C")
    return f"::error title={head}::{_escaped(printable(text))}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
