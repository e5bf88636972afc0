"""The registry of checks: what each asks, what it requires of a run, and the metrics it gives.

A check is one function, registered by the decorator `check`; the package imports every module of this folder, so that
nothing else need name it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from npu_conformance.checks.capabilities import LOGITS, Capability, lacks
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import not_applicable
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Result

Judge = Callable[[Evidence], list[Result]]
Cause = Literal["input", "near", "itself"]
"""What a failure says of the others of its model: an `input` is the cause of whatever differs later; one that is `near`
the cause comes before all that only follow; and what fails by `itself` follows from none, and explains none."""


@dataclass(frozen=True)
class Check:
    """A property that a model must have."""

    id: str
    question: tuple[str, str]
    """What must hold, in English and in Chinese."""
    requires: tuple[Capability, ...]
    metrics: tuple[str, ...]
    """Ids of all that it may measure; their words are in `report.words`."""
    calibrated: bool
    """Whether it is a gate against the noise floor."""
    cause: Cause | None
    """See `Cause`; None where a failure may follow from any other."""
    find: Judge
    """From evidence to results, where the run has all that is required."""

    @property
    def reads_logits(self) -> bool:
        """Whether it looks at logits, not at answers, inputs or weights alone."""
        return not LOGITS.isdisjoint(self.requires)

    def lacks(self, evidence: Evidence) -> str | None:
        """Why a run lacks something that is required; None where it has all."""
        return next(filter(None, (lacks(evidence, one) for one in self.requires)), None)

    def judge(self, evidence: Evidence) -> list[Result]:
        """What was found of a run.

        One result in error where the traces do not allow to judge; not applicable where the run lacks what is required,
        or the engine did not do what makes the variant; inconclusive, and not passed, where nothing shows whether it
        did.
        """
        if evidence.no_effect is not None:
            return [not_applicable(evidence, self.id, f"without effect here: {evidence.no_effect}")]
        if (why := self.lacks(evidence)) is not None:
            return [not_applicable(evidence, self.id, why)]
        try:
            return _confirmed(self.find(evidence), evidence.unconfirmed)
        except TraceError as error:
            return [
                Result(check=self.id, variant=evidence.variant, metric=self.id, verdict="error", message=str(error))
            ]


CHECKS: dict[str, Check] = {}
"""All of them by id; a test each in tests/conformance."""


def check(
    *,
    chinese: str,
    requires: tuple[Capability, ...] = (),
    metrics: tuple[str, ...],
    calibrated: bool = False,
    cause: Cause | None = None,
) -> Callable[[Judge], Judge]:
    """Register a function as the check of its name, whose docstring says in English what must hold.

    Args:
        chinese: the same in Chinese.
        requires: what a run must have.
        metrics: see `Check`.
        calibrated: see `Check`.
        cause: see `Check`.
    """

    def register(function: Judge) -> Judge:
        english = (function.__doc__ or "").strip().splitlines()[0]
        CHECKS[function.__name__] = Check(
            id=function.__name__,
            question=(english, chinese),
            requires=requires,
            metrics=metrics,
            calibrated=calibrated,
            cause=cause,
            find=function,
        )
        return function

    return register


def _confirmed(results: list[Result], unconfirmed: str | None) -> list[Result]:
    """Results, of which none passes where the variant may have been base again; what fails, fails."""
    if unconfirmed is None:
        return results
    told = f"asked, not confirmed: nothing in the run shows that {unconfirmed} took effect"
    return [
        one.model_copy(update={"verdict": "inconclusive", "message": "; ".join(filter(None, (told, one.message)))})
        if one.verdict == "pass"
        else one
        for one in results
    ]
