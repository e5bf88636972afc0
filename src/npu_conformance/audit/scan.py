"""What only the weights themselves show: NaN, scales that cannot be, and codes that were read wrongly."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from npu_conformance.audit.damaged import REMEDY, damage_findings, may_show_damage
from npu_conformance.audit.reciprocals import reciprocal_findings
from npu_conformance.audit.statistics import (
    GROUP,
    Measured,
    TensorStatistics,
    measurable,
    measure,
    operator_norm,
)
from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.quantisation.schema import AwqOptions, CompressedOptions, GptqOptions
from npu_conformance.checkpoints.quantised.compressed import groups_of
from npu_conformance.checkpoints.quantised.naming import UnreadablePatternError
from npu_conformance.checkpoints.stack import find_stack
from npu_conformance.machine.storage import write_text

if TYPE_CHECKING:
    from npu_conformance.workers.job import ScanJob
    from npu_conformance.workers.worker import Progress

# Half of what uniform weights have. Measured on weights of the shapes that training leaves (normal, Laplace, Student
# with 4 degrees, columns of unlike size): 0.44 to 0.93, and 0.14 to 0.4 when they have 3 bits; after their codes
# of 3, 4 or 8 bits in groups of 32 and more were wrapped: 0.00 to 0.11. Uniform ones: 0.24, and 0.20 with 4 bits.
_LEAST_NEAR_ZERO = 0.125
_WIDEST = 4096
_WEIGHT = ("weight", "_proj")


class Scan(BaseModel):
    """What was found in a checkpoint's weights."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")

    findings: tuple[Finding, ...]
    tensors: tuple[TensorStatistics, ...]
    """Of those that can be read as numbers, in the order of the checkpoint."""


def run(job: "ScanJob", progress: "Progress") -> None:
    """Scan a checkpoint folder and write what was found, the findings from its headers first."""
    checkpoint = examine(job.checkpoint)
    found = scan(checkpoint, progress)
    found = found.model_copy(update={"findings": checkpoint.findings + found.findings})
    write_text(job.output, found.model_dump_json(indent=1) + "\n")


def scan(checkpoint: Checkpoint, progress: "Progress") -> Scan:
    """Look at every stored tensor, one after the other.

    Args:
        checkpoint: an examined folder.
        progress: called before each tensor.

    Raises:
        CheckpointError: a tensor cannot be read.
    """
    findings: list[Finding] = []
    statistics: list[TensorStatistics] = []
    layer = _representative(checkpoint)
    for done, (name, declared) in enumerate(checkpoint.tensors.items()):
        progress("scanning", done, len(checkpoint.tensors))
        bits = _bits(checkpoint, name)
        counted, looked_at = measurable(name, declared.dtype, bits), may_show_damage(name, declared)
        if not declared.size or not (counted or looked_at):
            continue
        tensor = load_tensor(checkpoint, name)
        if looked_at:
            findings += damage_findings(name, declared.dtype, tensor)
        if not counted:
            continue
        measured = measure(tensor, name, declared.dtype, bits)
        found = measured.statistics
        if layer is not None and name.startswith(layer) and _has_norm(measured):
            found.operator_norm = operator_norm(tensor)
        statistics.append(found)
        findings += _tensor_findings(measured)
    findings += [*_wrapped(statistics), *reciprocal_findings(checkpoint, statistics)]
    return Scan(findings=tuple(findings), tensors=tuple(statistics))


def _bits(checkpoint: Checkpoint, name: str) -> int | None:
    """Bits of the codes in a packed tensor."""
    options = checkpoint.options
    if isinstance(options, GptqOptions | AwqOptions):
        return options.bits
    if not isinstance(options, CompressedOptions) or not name.endswith(".weight_packed"):
        return None
    try:
        found = {one.weights.num_bits for one in groups_of(options, name.rpartition(".")[0]) if one.weights is not None}
    except UnreadablePatternError:
        return None
    return found.pop() if len(found) == 1 else None


def _representative(checkpoint: Checkpoint) -> str | None:
    """What the names of the middle layer's tensors begin with."""
    stack = find_stack(checkpoint)
    if stack is None or not stack.layers:
        return None
    return f"{stack.root}layers.{list(stack.layers)[len(stack.layers) // 2]}."


def _has_norm(measured: Measured) -> bool:
    found = measured.statistics
    plain = found.of == "values" and measured.not_finite is None
    return plain and len(found.shape) == 2 and found.shape[1] <= _WIDEST and found.name.endswith(".weight")


def _tensor_findings(measured: Measured) -> list[Finding]:
    found, findings = measured.statistics, []
    if measured.not_finite is not None:
        message = (
            f"NaN or infinity, first at {list(measured.not_finite)}: download the model again, or convert it again"
        )
        findings.append(Finding("error", found.name, message))
    if measured.not_positive is not None:
        message = f"a scale is zero or negative, first at {list(measured.not_positive)}: quantise the model again"
        findings.append(Finding("error", found.name, message))
    if measured.outlier is not None:
        message = (
            f"a number is far beyond all others, first at {list(measured.outlier)} (they range from {found.min:.3g} to "
            f"{found.max:.3g}), as a flipped bit leaves it: {REMEDY}"
        )
        findings.append(Finding("warning", found.name, message))
    if len(found.shape) > 1 and found.min == found.max == 0 and found.name.endswith(_WEIGHT):
        findings.append(Finding("warning", found.name, "all zero: check that the model is made so"))
    return findings


def hollow(statistics: Sequence[TensorStatistics]) -> list[TensorStatistics]:
    """Those of linear layers with next to nothing near zero."""
    return [found for found in statistics if found.near_zero is not None and found.near_zero < _LEAST_NEAR_ZERO]


def _wrapped(statistics: list[TensorStatistics]) -> list[Finding]:
    """Weights with next to nothing near zero.

    Trained weights have most of their mass there. Codes that were stored with a zero point of 128 and are read as
    signed bytes without it have it where the zero was, at both ends.
    """
    linear = [found for found in statistics if found.near_zero is not None]
    wrapped = hollow(linear)
    if not wrapped:
        return []
    # One layer may be odd by design; most of a model are not.
    level: Literal["suspicion", "warning"] = "suspicion" if 2 * len(wrapped) > len(linear) else "warning"
    message = (
        f"only {wrapped[0].near_zero:.1%} of its weights are within a quarter of the greatest of their {GROUP} "
        f"(trained ones: 45 % and more, uniform ones: 24 %), so in {len(wrapped)} of {len(linear)} linear layers: most "
        "likely unsigned codes read as signed without their zero point; convert it again with the zero point subtracted"
    )
    return [Finding(level, wrapped[0].name, message)]
