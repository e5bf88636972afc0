"""A LoRA under its own name and the model without it under its own: which of the two answers is told by the numbers."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.served_record import base_of, record
from npu_conformance.errors import TraceError
from npu_conformance.measure.metrics import log_softmax
from npu_conformance.measure.results import Result
from npu_conformance.traces.serving import First, Served
from npu_conformance.traces.trace import WITHOUT_ADAPTER, Trace

_CHECK = "served_adapter"


@check(
    chinese="以 LoRA 的名称回答的是 LoRA，以基座模型的名称回答的是不带 LoRA 的模型。",
    requires=("served_adapter",),
    metrics=("adapter_names", "different_names"),
    cause="input",
)
def served_adapter(evidence: Evidence) -> list[Result]:
    """The LoRA answers under its name and the model without it under its own, and they differ."""
    served, base = record(evidence), base_of(evidence)
    by_name = _by_name(served, base)
    alike = [
        f"{one.prompt}: the same log-probabilities under both names"
        for one, other in zip(*by_name.values(), strict=True)
        if one.log_probs == other.log_probs
    ]
    # Where a LoRA does little, rounding may leave nothing of it at some prompts.
    n, broken = len(served.answers), alike if len(alike) == len(served.answers) else []
    differ = all_of(evidence, _CHECK, "different_names", broken, first(broken), n, path="prefill").model_copy(
        update={"observed": n - len(alike), "limit": 1}
    )
    bare = base.part(WITHOUT_ADAPTER)
    if bare is None or base.rows != "full":
        return [not_applicable(evidence, _CHECK, "base was not asked without its adapter", "adapter_names"), differ]
    offline = {served.adapter: (base, bare), served.model: (bare, base)}
    wrong = [
        f"{name}: answers as the model with{'out' * (name == served.adapter)} the LoRA does offline: its "
        f"log-probabilities are {far[0]:.3g} from what that name should say and {far[1]:.3g} from the other"
        for name, sides in offline.items()
        if not (far := _distances(by_name[name], sides))[0] < far[1]
    ]
    return [all_of(evidence, _CHECK, "adapter_names", wrong, first(wrong), 2, path="prefill"), differ]


def _by_name(served: Served, base: Trace) -> dict[str | None, list[First]]:
    """What was said under the LoRA's name and under the model's, a first position a prompt.

    Raises:
        TraceError: the record has not both of every prompt.
    """
    names, prompts = (served.adapter, served.model), [one.prompt for one in base.answers]
    found = {name: [one for one in served.firsts if one.name == name] for name in names}
    if any(
        [one.prompt for one in said] != prompts or not all(one.log_probs for one in said) for said in found.values()
    ):
        raise TraceError(f"{base.folder}: the server's record has not every prompt under both names; run it again")
    return found


def _distances(said: list[First], sides: tuple[Trace, Trace]) -> tuple[float, float]:
    """How far what a name said is from what each of two traces says at the first position, as a mean over prompts."""
    found = [[_distance(one.log_probs, side, index) for side in sides] for index, one in enumerate(said)]
    own, other = np.asarray(found, dtype=np.float64).mean(axis=0)
    return float(own), float(other)


def _distance(log_probs: Mapping[int, float], side: Trace, index: int) -> float:
    row: NDArray[np.float64] = np.asarray(log_softmax(side.logits(index, slice(1))), dtype=np.float64)[0]
    words = list(log_probs)
    if not all(0 <= word < len(row) for word in words):
        raise TraceError(f"{side.folder}: the server's record has words that the model has not; run it again")
    return float(np.abs(row[words] - np.asarray([log_probs[word] for word in words])).mean())
