"""What the selected tests would start, worked out without starting any of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from npu_conformance.commands.plan.step import Kind, Step
from npu_conformance.commands.plan.steps import model_steps
from npu_conformance.commands.plan.twins import twin_steps
from npu_conformance.errors import ConformanceError
from npu_conformance.run.session import Session


@dataclass(frozen=True)
class Skipped:
    """A variant that would be skipped."""

    model: str
    variant: str
    reason: str


@dataclass(frozen=True)
class Forecast:
    """What a run would do."""

    steps: tuple[Step, ...]
    """In order, but for twins, which are built side by side."""
    skipped: tuple[Skipped, ...]
    broken: tuple[str, ...] = ()
    """Models whose weights cannot be used, each with the reason; nothing is started for them."""
    judged_again: int = 0
    """Variants whose saved traces would be judged, without anything being started."""

    def of(self, kind: Kind) -> list[Step]:
        """The steps of a kind, in order."""
        return [step for step in self.steps if step.kind == kind]

    @property
    def processes(self) -> int:
        """Processes that engines run in."""
        return len({step.process for step in self.of("engine")})


def forecast(session: Session, selected: Mapping[str, Sequence[str]]) -> Forecast:
    """What a run would start.

    Args:
        session: of this command line; it is asked for nothing that starts or writes anything.
        selected: variants by model in the order of their tests; the models' configs are known to be good.
    """
    skipped, runnable = _sorted_out(session, selected)
    if session.settings.from_dir is not None:
        return Forecast((), tuple(skipped), judged_again=sum(map(len, runnable.values())))
    # Twins are built for all that are selected as soon as one of them runs.
    steps = twin_steps(session, list(selected)) if runnable else []
    broken, processes = [], 0
    for model, variants in runnable.items():
        try:
            found = model_steps(session, model, variants, processes)
        except ConformanceError as error:
            broken.append(f"{model}: {error}")
            continue
        processes = max(processes, *(step.process for step in found))
        steps += found
    return Forecast(tuple(steps), tuple(skipped), tuple(broken))


def _sorted_out(session: Session, selected: Mapping[str, Sequence[str]]) -> tuple[list[Skipped], dict[str, list[str]]]:
    """The variants that would be skipped, and by model those that would run."""
    skipped: list[Skipped] = []
    runnable: dict[str, list[str]] = {}
    for model, variants in selected.items():
        for variant in variants:
            if (reason := session.why_not(model, variant)) is None:
                runnable.setdefault(model, []).append(variant)
            else:
                skipped.append(Skipped(model, variant, reason))
    return skipped, runnable
