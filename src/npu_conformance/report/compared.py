"""Two runs of the same models side by side: what was found of each pair, as sections of a page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from npu_conformance.measure.growth import Judged, RunPair, error_of
from npu_conformance.measure.results import Path
from npu_conformance.report.compared_figures import figure_blocks
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Items,
    Line,
    Mark,
    Paragraph,
    Section,
    Table,
)
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import percent
from npu_conformance.report.words import Language, phrase, word

_MARKS: dict[str, Mark] = {"worse": "fail", "no worse": "pass", "inconclusive": "inconclusive"}
_ORDER = ("worse", "inconclusive", "no worse")
_MOST_CHARTS = 2


@dataclass(frozen=True)
class Place:
    """A position at which the error grew."""

    prompt: str
    position: int
    before: float
    now: float
    token: str
    """The candidate's."""
    reference: str
    """The reference's where it is another, else empty."""


@dataclass(frozen=True)
class Compared:
    """A model in a variant, in two runs."""

    model: str
    variant: str
    two: RunPair
    judged: Judged
    places: tuple[Place, ...]
    differs: tuple[str, ...]
    """What else differs, in English."""


@dataclass(frozen=True)
class TwoRuns:
    """All that was compared of two runs."""

    before: str
    after: str
    """Their folders' names."""
    pairs: tuple[Compared, ...]
    left_out: tuple[tuple[str, str], ...]
    """Model and variant, and why they were not compared, in English."""
    reports: tuple[Report | None, Report | None]
    """None where a folder has none of this version."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names, in their order."""
        return tuple(dict.fromkeys(one.model for one in self.pairs))

    def of(self, model: str) -> list[Compared]:
        """The pairs of a model."""
        return [one for one in self.pairs if one.model == model]


def verdict_of(pairs: list[Compared]) -> str:
    """The worst of several."""
    return min((one.judged.verdict for one in pairs), key=_ORDER.index)


def mark_of(verdict: str) -> Mark:
    """The sign that stands for it."""
    return _MARKS[verdict]


def said_of(language: Language, verdict: str) -> str:
    """A verdict in words."""
    return word(language, "compared_inconclusive" if verdict == "inconclusive" else verdict)


def compared_sentence(pairs: list[Compared], language: Language) -> str:
    """What became of a model."""
    worst = verdict_of(pairs)
    found = [one for one in pairs if one.judged.verdict == worst]
    names = ", ".join(one.variant for one in found)
    why = why_of(language, found[0].judged.why)
    return word(language, f"compared_sentence_{worst}").format(worst=names, why=why)


def compared_sections(runs: TwoRuns, model: str, language: Language) -> list[Section]:
    """The page of a model."""
    pairs = runs.of(model)
    found = [_verdict(pairs, language), *_figures(runs, pairs, model, language), _errors(pairs, language)]
    return [*found, _differences(runs, pairs, language)]


def why_of(language: Language, english: str) -> str:
    """Reasons of a verdict; in Chinese each part by itself."""
    if language == "en" or phrase(language, english) != english:
        return phrase(language, english)
    told = re.sub(r"the error in (\w+) grew by more than ([\d.]+) times", r"\1 误差增长超过 \2 倍", english)
    told = told.replace("flips are more frequent", "argmax 翻转更频繁")
    told = re.sub(r" \(p (\S+), adjusted (\S+)\)", r"（p \1，校正后 \2）", told)
    told = re.sub(
        r"(\d+) prompts cannot tell whether (.+): about (\d+) prompts would",
        r"\1 条提示词不足以判断 \2：约需 \3 条",
        told,
    )
    told = re.sub(
        r"(\d+) prompts cannot tell whether (.+): no number .+", r"\1 条提示词不足以判断 \2：此类提示词再多也不够", told
    )
    return told.replace(" and whether ", "，以及 ").replace(", ", "；")


def left_out(runs: TwoRuns, language: Language, model: str = "") -> list[str]:
    """What was not compared, of a model or of all, and why."""
    found = []
    for name, why in runs.left_out:
        if model in ("", name.partition(" ")[0]):
            *sides, reason = why.split(": ", 1) if why.startswith(("before: ", "now: ")) else [why]
            parts = [word(language, f"c_{side}") for side in sides]
            said = word(language, "colon").join([*parts, phrase(language, reason)])
            found.append(word(language, "not_compared").format(name=name, why=said))
    return found


def _verdict(pairs: list[Compared], language: Language) -> Section:
    columns = ("variant", "compared_prompts", "growth_decode", "growth_prefill", "flips_before_now", "verdict")
    rows = tuple(
        (
            Cell(one.variant), number(str(len(one.two.prompts))), number(growth_of(one.judged, "decode")),
            number(growth_of(one.judged, "prefill")),
            number(" → ".join(percent(float(side.mean())) for side in one.two.flips)),
            Cell(said_of(language, one.judged.verdict), _MARKS[one.judged.verdict]),
        )
        for one in pairs
    )  # fmt: skip
    table = Table(word(language, "variants"), tuple(word(language, key) for key in columns), rows)
    why = Items(tuple(f"{one.variant}: {why_of(language, one.judged.why)}" for one in pairs))
    blocks = (Paragraph(compared_sentence(pairs, language), strong=True), table, why)
    return Section("verdict", word(language, "verdict"), (*blocks, Paragraph(word(language, "compared_note"))))


def growth_of(judged: Judged, path: Path) -> str:
    """Growth of the error in a path, with its interval."""
    tested = judged.tests.get(path)
    if tested is None or tested.interval is None:
        return "—"
    value, low, high = np.exp([tested.observed, *tested.interval])
    return f"× {value:.3g} ({low:.3g} – {high:.3g})"


def _figures(runs: TwoRuns, pairs: list[Compared], model: str, language: Language) -> Iterator[Section]:
    sides = [_view(report, model, language) for report in runs.reports]
    title = word(language, "compared_figures")
    if sides[0] is None or sides[1] is None:
        yield Section("figures", title, (Paragraph(word(language, "no_report")),))
        return
    tables = [figure_blocks(sides[0], sides[1], one.variant) for one in pairs]
    shown = [(one, found) for one, found in zip(pairs, tables, strict=True) if found]
    blocks: list[Block] = []
    for place, (one, found) in enumerate(shown):
        blocks += found if place == 0 else [Fold(one.variant, tuple(found))]
    if blocks:
        yield Section("figures", title, (*blocks, Paragraph(word(language, "note_change"))))


def _view(report: Report | None, name: str, language: Language) -> View | None:
    models: list[ModelReport] = [] if report is None else report.models
    found = next((model for model in models if model.name == name), None)
    return None if report is None or found is None else View(report, found, language)


def _errors(pairs: list[Compared], language: Language) -> Section:
    first = sorted(pairs, key=lambda one: _ORDER.index(one.judged.verdict))[:_MOST_CHARTS]
    blocks: list[Block] = [chart for one in first if (chart := _chart(one, language)) is not None]
    columns = tuple(word(language, key) for key in ("place", "error_before", "error_now", "token"))
    for one in pairs:
        rows = tuple(
            (
                Cell(f"{at.prompt}, {at.position}"),
                number(percent(at.before)),
                number(percent(at.now)),
                Cell(_tokens(at, language)),
            )
            for at in one.places
            if not at.now <= at.before
        )
        blocks += [Table(f"{one.variant}: {word(language, 'places')}", columns, rows)] if rows else []
    return Section("errors", word(language, "compared_errors"), tuple(blocks))


def _tokens(at: Place, language: Language) -> str:
    return at.token if not at.reference else word(language, "two_tokens").format(token=at.token, other=at.reference)


def _chart(one: Compared, language: Language) -> Chart | None:
    sides = [np.exp(side.by_prompt(error_of(side))) for side in one.two.paths["decode"]]
    if len(one.two.prompts) < 2 or not all(np.isfinite(side).all() for side in sides):
        return None
    x = tuple(float(place) for place in range(len(sides[0])))
    names = ("c_before", "c_now")
    lines = [
        Line(name, x, tuple(float(f"{100 * value:.4g}") for value in side), "dots" if name == "c_now" else "steps")
        for name, side in zip(names, sides, strict=True)
    ]
    most = int(np.argmax(sides[1] / sides[0]))
    key = "alt_compared" if sides[1][most] > sides[0][most] else "alt_compared_none"
    alt = word(language, key).format(
        variant=one.variant, prompt=one.two.prompts[most], before=percent(sides[0][most]), now=percent(sides[1][most])
    )
    return Chart(f"compared-{one.variant}", alt, "c_paired", "c_error", tuple(lines))


def _differences(runs: TwoRuns, pairs: list[Compared], language: Language) -> Section:
    lines: dict[str, list[str]] = {}
    for one in pairs:
        for line in one.differs:
            lines.setdefault(line, []).append(one.variant)
    told = [f"{phrase(language, line)} ({', '.join(names)})" for line, names in lines.items()]
    told += left_out(runs, language, pairs[0].model)
    shown: Block = Items(tuple(told)) if told else Paragraph(word(language, "no_differences"))
    return Section("differences", word(language, "differences"), (shown,))
