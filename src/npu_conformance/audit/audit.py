"""The audit: every parameter of a candidate's checkpoint against the published one, and what is wrong with it."""

from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from npu_conformance.audit.cause import likely_cause
from npu_conformance.audit.compare import FLOAT32, PRECISIONS, RMS_UNITS, Comparison, Precision, compare, relative
from npu_conformance.audit.mistakes import Case
from npu_conformance.audit.pairing import pair
from npu_conformance.audit.published import read, stored_name
from npu_conformance.checkpoints.inspect import Checkpoint, inspect
from npu_conformance.machine.storage import write_text

if TYPE_CHECKING:
    from npu_conformance.workers.job import AuditJob
    from npu_conformance.workers.worker import Progress

_SHOWN = 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")


class TensorAudit(_Part):
    """One parameter of the candidate."""

    name: str
    dtype: str
    """The candidate's, by safetensors' name."""
    elements: int
    off: int
    """Elements that no rounding to this dtype explains."""
    relative_rms: float
    """‖candidate - published‖ / ‖published‖."""
    allowed: float
    """The largest relative rms error that passes."""
    max_abs: float
    exact: bool
    """Every element is the published one rounded once, to the bit."""
    broken: bool
    cause: str | None = None
    """For a broken one: the known mistake that would have made it so."""


class Audit(_Part):
    """A candidate's weights held against the published ones."""

    parameters: int
    """Parameters that were compared."""
    exact: int
    """Of them, those that are the published ones rounded once, to the bit."""
    broken: int
    relative_rms: float
    """Over all elements of all parameters, as are the next two."""
    max_abs: float
    mean_abs: float
    allowed: float
    """The largest relative rms error that passes in one parameter of the coarsest dtype met."""
    worst: list[TensorAudit]
    """Broken ones first, then by relative rms error."""
    problems: list[str]
    """One line each, empty when the candidate holds the published weights."""

    @property
    def passed(self) -> bool:
        """Whether the candidate holds the published weights."""
        return not self.problems


def audit(source: Checkpoint, candidate: Checkpoint, progress: "Progress") -> Audit:
    """Compare every parameter, one at a time, and name the causes of the worst differences.

    Args:
        source: the published checkpoint, quantised or not.
        candidate: the checkpoint to be served: converted, or in the published format.
        progress: called with the parameters done.

    Raises:
        CheckpointError: a parameter cannot be read.
    """
    pairs, problems = pair(source, candidate)
    compared: list[tuple[TensorAudit, Comparison]] = []
    for done, (name, published_name) in enumerate(pairs.items()):
        progress("comparing weights", done, len(pairs))
        published, found = read(source, published_name), read(candidate, name)
        if published.shape != found.shape:
            turned = ", as if it had been transposed" if found.shape == published.shape[::-1] else ""
            problems.append(f"{name}: has shape {found.shape}, the published one {published.shape}{turned}")
            continue
        dtype, precision = _precision(candidate, name)
        comparison = compare(published, found, precision)
        compared.append((_judge(name, dtype, precision, comparison), comparison))
    compared.sort(key=lambda entry: _severity(entry[0]))
    broken = sum(tensor.broken for tensor, _ in compared)
    for done, (tensor, comparison) in enumerate(compared[: min(broken, _SHOWN)]):
        progress("naming causes", done, min(broken, _SHOWN))
        published, found = read(source, pairs[tensor.name]), read(candidate, tensor.name)
        precision = _precision(candidate, tensor.name)[1]
        case = Case(published, found, precision, everywhere=comparison.wrong_everywhere(precision))
        tensor.cause = likely_cause(source, pairs[tensor.name], case, comparison)
        problems.append(_message(tensor, comparison))
    if broken > _SHOWN:
        problems.append(f"{broken - _SHOWN} more parameters differ from the published weights")
    return _sum_up(compared, problems)


def _precision(candidate: Checkpoint, name: str) -> tuple[str, Precision]:
    """Stored dtype of a parameter and what it can hold; a quantised one is made in float32 on both sides."""
    dtype = candidate.tensors[stored_name(candidate, name)].dtype
    return dtype, PRECISIONS.get(dtype, FLOAT32)


def _judge(name: str, dtype: str, precision: Precision, comparison: Comparison) -> TensorAudit:
    allowed = RMS_UNITS * precision.unit
    return TensorAudit(
        name=name,
        dtype=dtype,
        elements=comparison.elements,
        off=comparison.off,
        relative_rms=comparison.relative_rms,
        allowed=allowed,
        max_abs=comparison.max_abs,
        exact=comparison.exact,
        broken=comparison.off > 0 or not comparison.relative_rms <= allowed,
    )


def _severity(tensor: TensorAudit) -> tuple[bool, float]:
    return not tensor.broken, -inf if isnan(tensor.relative_rms) else -tensor.relative_rms


def _message(tensor: TensorAudit, comparison: Comparison) -> str:
    if tensor.relative_rms <= tensor.allowed and comparison.worst is not None:
        worst = comparison.worst
        what = (
            f"{tensor.off} of {tensor.elements} elements differ from the published ones by more than rounding, most at "
            f"{list(worst.at)}: {worst.found:.6g} for {worst.expected:.6g}"
        )
    else:
        what = (
            f"differs from the published weights by {100 * tensor.relative_rms:.3g} % "
            f"(allowed {100 * tensor.allowed:.2g} %)"
        )
    return f"{tensor.name}: {what}; {tensor.cause}"


def _sum_up(compared: list[tuple[TensorAudit, Comparison]], problems: list[str]) -> Audit:
    tensors = [tensor for tensor, _ in compared]
    sums = [comparison for _, comparison in compared]
    return Audit(
        parameters=len(tensors),
        exact=sum(tensor.exact for tensor in tensors),
        broken=sum(tensor.broken for tensor in tensors),
        relative_rms=relative(sum(one.squared_error for one in sums), sum(one.squared_published for one in sums)),
        max_abs=float(np.max([one.max_abs for one in sums], initial=0)),
        mean_abs=sum(one.absolute_error for one in sums) / max(1, sum(one.elements for one in sums)),
        allowed=max((tensor.allowed for tensor in tensors), default=0),
        worst=tensors[:_SHOWN],
        problems=problems,
    )


def run(job: "AuditJob", progress: "Progress") -> None:
    """Audit the candidate's checkpoint and leave the result as JSON."""
    result = audit(inspect(job.source), inspect(job.candidate), progress)
    write_text(job.output, result.model_dump_json(indent=1) + "\n")
