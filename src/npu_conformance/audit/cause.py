"""Names the likely cause of a difference: the known mistake that would have made just these weights."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from npu_conformance.audit.compare import Comparison, compare, pieces
from npu_conformance.audit.formats.awq import Awq
from npu_conformance.audit.formats.compressed_tensors import Compressed
from npu_conformance.audit.formats.fp8 import Fp8
from npu_conformance.audit.formats.gptq import Gptq
from npu_conformance.audit.mistakes import ANY, AWQ, COMPRESSED, FP8, GPTQ, Case
from npu_conformance.audit.place import place
from npu_conformance.audit.published import parameter_names, read, stored_name
from npu_conformance.audit.weights import Weights
from npu_conformance.checkpoints.inspect import Checkpoint, Tensor

# With fewer wrong elements than this, a mistake could reproduce them by chance.
_FEW = 8
# Experts are many; a tensor is rarely mistaken for one far away.
_NEIGHBOURS = 64


def likely_cause(source: Checkpoint, name: str, case: Case, comparison: Comparison) -> str:
    """What a person should suspect, as the end of a sentence.

    A mistake is named when it would have made every element that is off as it is, to rounding; where it was not
    made in the whole tensor, the place is told.

    Args:
        source: the published checkpoint.
        name: the parameter in it.
        case: both readings of it.
        comparison: of the two.
    """
    where = place(case)
    if not case.everywhere and comparison.off < _FEW:
        return f"no mistake with a whole block or row, but damage of single elements{where}"
    with np.errstate(all="ignore"):  # a mistake may well overflow or divide by zero
        for words, variants in _suspects(source, name, case):
            found = [_explains(mistaken, case) for mistaken in variants]
            if any(found):
                return f"as if {words}{'' if 'whole' in found else where}"
    return f"no known mistake explains it{where}"


def _suspects(source: Checkpoint, name: str, case: Case) -> Iterator[tuple[str, Iterable[Weights]]]:
    """Mistakes in words, the more specific first, each with the weights that its variants would have made."""
    if isinstance(case.published, Fp8):
        for words, fp8_mistake in FP8.items():
            yield words, fp8_mistake(case.published)
    if isinstance(case.published, Compressed):
        for words, compressed_mistake in COMPRESSED.items():
            yield words, compressed_mistake(case.published)
    if isinstance(case.published, Awq):
        for words, awq_mistake in AWQ.items():
            yield words, awq_mistake(case.published)
    if isinstance(case.published, Gptq):
        for words, gptq_mistake in GPTQ.items():
            yield words, gptq_mistake(case.published)
    for words, mistake in ANY.items():
        if (derived := mistake(case)) is not None:
            yield f"{words}{derived.detail}", [derived]
    for other in _similar(source, name):
        yield f"it had been taken from {other}", [read(source, other)]


def _similar(source: Checkpoint, name: str) -> list[str]:
    """Parameters stored in the same shape, nearest first: by the same name in other layers, then by any name."""
    stored = source.tensors[stored_name(source, name)]
    kind, numbers = _split(name)

    def distance(other: str) -> tuple[bool, int]:
        other_kind, other_numbers = _split(other)
        return other_kind != kind, sum(abs(a - b) for a, b in zip(numbers, other_numbers, strict=False))

    others = [other for other in parameter_names(source) if other != name]
    same = [other for other in others if _alike(source.tensors[stored_name(source, other)], stored)]
    return sorted(same, key=distance)[:_NEIGHBOURS]


def _alike(tensor: Tensor, other: Tensor) -> bool:
    return (tensor.shape, tensor.dtype) == (other.shape, other.dtype)


def _split(name: str) -> tuple[str, list[int]]:
    return re.sub(r"\d+", "", name), [int(number) for number in re.findall(r"\d+", name)]


def _explains(mistaken: Weights, case: Case) -> Literal["whole", "part"] | None:
    """Whether a mistake would have made the whole tensor, or what is off in it, or not even that."""
    if case.everywhere:
        alike = compare(mistaken, case.candidate, case.precision).relative_rms <= case.precision.unit
        return "whole" if alike else None
    whole = True
    for start, expected, found in pieces(case.published, case.candidate):
        unlike = case.precision.off(found, mistaken.rows(start, start + len(found)))
        if (unlike & case.concerned(found, expected)).any():
            return None
        whole &= not unlike.any()
    return "whole" if whole else "part"
