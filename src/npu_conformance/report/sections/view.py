"""A model's part of a report, as sections look at it: in one language, with what most of them ask for."""

from dataclasses import dataclass
from functools import cached_property

from npu_conformance.config.variants import JUDGED
from npu_conformance.measure.results import Result
from npu_conformance.report.causes import verdicts
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections.blocks import Cell, Mark
from npu_conformance.report.words import Language, metric, phrase, title, verdict, word


@dataclass(frozen=True)
class View:
    """A model in a language."""

    report: Report
    model: ModelReport
    language: Language

    @property
    def name(self) -> str:
        """The model's name, that of a twin as a twin's."""
        return f"{self.model.name} (twin)" if self.model.subject == "twin" else self.model.name

    def t(self, key: str) -> str:
        """A label."""
        return word(self.language, key)

    def said(self, name: str) -> str:
        """A verdict."""
        return verdict(self.language, name)

    def title(self, check: Result) -> str:
        """What a check measured."""
        return title(self.language, check)

    def metric(self, name: str) -> str:
        """A metric's words."""
        return metric(self.language, name)

    def phrase(self, english: str) -> str:
        """A sentence written elsewhere."""
        return phrase(self.language, english)

    def judged(self, name: str) -> Cell:
        """A verdict as a cell."""
        mark: Mark = name  # type: ignore[assignment]
        return Cell(self.said(name), mark)

    @cached_property
    def base(self) -> VariantDetails | None:
        """The variant that is shown in full: base, else the first that ran."""
        ran = [one for one in self.model.variants if one.positions]
        return next((one for one in ran if one.variant == "base"), ran[0] if ran else None)

    def beside(self, one: VariantDetails) -> VariantDetails | None:
        """The base from which a variant differs in one thing; None for those that are judged by themselves."""
        return None if one.variant in JUDGED else next((x for x in self.model.variants if x.variant == "base"), None)

    @cached_property
    def shown(self) -> list[VariantDetails]:
        """Variants whose tokens are looked at: those that choose their own, and those that fail."""
        failed = {check.variant for check in self.model.checks if check.verdict == "fail"}
        return [one for one in self.model.variants if one.positions and one.variant in (*JUDGED, *failed)]

    def checks(self, variant: str) -> list[Result]:
        """The checks of a variant."""
        return [check for check in self.model.checks if check.variant == variant]

    def find(self, metric: str, variant: str | None = None, path: str = "decode") -> Result | None:
        """A variant's result of a metric at its answers; None where there is none, or nothing was observed."""
        name = variant or (self.base.variant if self.base else "base")
        return next(
            (
                one
                for one in self.checks(name)
                if (one.metric, one.path, one.at) == (metric, path, "answers") and one.observed is not None
            ),
            None,
        )

    @cached_property
    def verdicts(self) -> dict[tuple[str, str], str]:
        """Of each check, by variant and check."""
        return verdicts(self.model)


def number(text: str) -> Cell:
    """A cell that stands on the right."""
    return Cell(text, number=True)
