"""The table of variants: a row for each that was judged, skipped or broke, whatever is known of it."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from npu_conformance.config.variants import JUDGED, known_changes
from npu_conformance.measure.results import Result, Verdict, worst
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.model import ModelReport
from npu_conformance.report.tokens import Agreement


@dataclass(frozen=True)
class VariantRow:
    """A variant of a model."""

    name: str
    changes: str
    """What it changes of base; empty where nobody left it."""
    verdict: Verdict
    deciding: Result | None
    """The check its verdict comes from; None where all is well."""
    details: VariantDetails | None
    """None where it never ran."""

    @property
    def no_effect(self) -> str | None:
        """Why its run says nothing about it."""
        return self.details.no_effect if self.details else None

    @property
    def unconfirmed(self) -> str | None:
        """What nothing in its run shows, where that decides its verdict."""
        return self.details.unconfirmed if self.details and self.verdict == "inconclusive" else None

    @property
    def outcome(self) -> Verdict | Literal["no_effect"]:
        """The verdict, or that there is none."""
        return "no_effect" if self.no_effect else self.verdict

    @property
    def shown(self) -> VariantDetails | None:
        """The details whose figures say something about the variant."""
        return None if self.no_effect else self.details

    @property
    def agreement(self) -> float | None:
        """Share of positions at which it has the reference's token."""
        rows = self.shown.prompts if self.shown else []
        tokens = sum(row.tokens for row in rows)
        return sum(row.matches for row in rows) / tokens if tokens else None

    @property
    def tokens(self) -> Agreement | None:
        """The same with its interval, and with ties; None without a noise floor."""
        return self.shown.agreement if self.shown else None

    @property
    def error(self) -> float | None:
        """Mean relative L2 error against the reference."""
        errors = self.shown.relative_l2 if self.shown else []
        return sum(errors) / len(errors) if errors else None


def variant_rows(model: ModelReport) -> list[VariantRow]:
    """A row a variant: base, `as_served`, then as the config lists them."""
    details = {variant.variant: variant for variant in model.variants}
    checks: dict[str, list[Result]] = {}
    for check in model.checks:
        checks.setdefault(check.variant, []).append(check)
    listed = [*JUDGED, *(model.facts.variants if model.facts else ())]
    names = dict.fromkeys([*listed, *details, *checks])
    return [_row(name, checks.get(name, []), details.get(name)) for name in names if name in details or name in checks]


def has_others(model: ModelReport) -> bool:
    """Whether the model was to be judged in more than base and `as_served`."""
    return any(row.name not in JUDGED for row in variant_rows(model))


def tally(model: ModelReport) -> dict[str, int]:
    """Variants by outcome, the most frequent first."""
    return dict(Counter(row.outcome for row in variant_rows(model)).most_common())


def _row(name: str, checks: list[Result], details: VariantDetails | None) -> VariantRow:
    verdict = worst(check.verdict for check in checks)
    deciding = next((check for check in checks if check.verdict == verdict), None)
    changes = details.changes if details else known_changes(name)
    return VariantRow(name, changes or "", verdict, None if verdict == "pass" else deciding, details)
