"""What a probe leaves: one small report, as JSON and as Markdown, that may be shown to anybody."""

from collections.abc import Mapping
from typing import Any

from npu_conformance.commands.probe.findings import Findings
from npu_conformance.commands.probe.points import POINTS, worst
from npu_conformance.commands.probe.scrub import scrubbed

SCHEMA_VERSION = 1


def report(findings: Mapping[str, Findings], about: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON.

    Args:
        findings: by point and engine.
        about: the machine, its software and what was started.
    """
    points = [
        {
            "id": name,
            "question": POINTS[name].question,
            "verdict": worst(found),
            "engines": {engine: one.model_dump(mode="json") for engine, one in found.items()},
        }
        for name, found in findings.items()
    ]
    made: dict[str, Any] = scrubbed({"schema_version": SCHEMA_VERSION, **about, "points": points})
    return made


def markdown(content: dict[str, Any]) -> str:
    """The same to read: a table of points, and one of what each engine says."""
    lines = ["# npu-conformance dev probe", ""]
    lines += [f"- {name}: {_joined(value)}" for name, value in content.items() if name not in ("points",)]
    lines += ["", "| point | verdict | question |", "| --- | --- | --- |"]
    lines += [f"| {one['id']} | **{one['verdict']}** | {one['question']} |" for one in content["points"]]
    lines += ["", "| point | engine | verdict | what was seen | figures |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {one['id']} | {engine} | {found['verdict']} | {_cell(found['message'])} | {_joined(found['figures'])} |"
        for one in content["points"]
        for engine, found in one["engines"].items()
    ]
    return "\n".join(lines) + "\n"


def _joined(value: Any) -> str:
    if isinstance(value, dict):
        return _cell(", ".join(f"{name} {_figure(one)}" for name, one in value.items()))
    return _figure(value)


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
