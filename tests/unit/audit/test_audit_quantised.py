"""Mistakes of reading FP8 and GPTQ, made here in a way of their own, are found, placed and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.helpers.published_checkpoints import (
    BLOCK,
    DOWN,
    GATE,
    GROUP,
    Array,
    Published,
    gptq_weight,
    only_problem,
    spread,
)


def one_block_unscaled(values: Array, scale: Array, blocks: list[tuple[int, int]]) -> Array:
    """The scale of some blocks left out."""
    result = values * spread(scale, values.shape)
    for row, column in blocks:
        part = np.s_[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        result[part] = values[part]
    return result


def column_major(scale: Array) -> Array:
    """The scale's memory read column after column: the transpose where the grid is square."""
    return np.array(scale.ravel().tolist()).reshape(scale.shape, order="F").astype(np.float32)


FP8_FAULTS: dict[str, tuple[Callable[[Array, Array], Array], str]] = {
    "transposed": (
        lambda values, scale: values * spread(column_major(scale), values.shape),
        "as if the scale blocks were transposed",
    ),
    "missing": (lambda values, _: values, "as if no scale had been applied"),
    "divided": (
        lambda values, scale: values / spread(scale, values.shape),
        "as if it had been divided by its scale instead of multiplied",
    ),
    "twice": (
        lambda values, scale: values * spread(scale, values.shape) * spread(scale, values.shape),
        "as if its scale had been applied twice",
    ),
    "first": (lambda values, scale: values * scale[0, 0], "as if one scale had been taken for the whole tensor"),
    "largest": (lambda values, scale: values * scale.max(), "as if one scale had been taken for the whole tensor"),
    "mean": (lambda values, scale: values * scale.mean(), "as if one scale had been taken for the whole tensor"),
    "one block": (
        lambda values, scale: one_block_unscaled(values, scale, [(1, 0)]),
        "as if no scale had been applied in 1 of {n} scale blocks (first [1, 0])",
    ),
    "four blocks": (
        lambda values, scale: one_block_unscaled(values, scale, [(2, 3), (0, 1), (0, 2), (2, 1)]),
        "as if no scale had been applied in 4 of {n} scale blocks (first [0, 1], [0, 2], [2, 1])",
    ),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("layer", [GATE, DOWN])
@pytest.mark.parametrize(("fault", "cause"), FP8_FAULTS.values(), ids=FP8_FAULTS)
def test_fp8_mistakes(
    fp8: Published, fault: Callable[[Array, Array], Array], cause: str, layer: str, dtype: str
) -> None:
    """Named in words; single blocks are listed."""
    values, scale = fp8.parts[layer]

    problem = only_problem(fp8.audit({layer: fault(values, scale)}, dtype), layer)

    assert problem.endswith(f"; {cause.format(n=scale.size)}")


Parts = tuple[Array, Array, Array, Array]


def regrouped(parts: Parts, group: Callable[[int], int | None]) -> Array:
    """Another group for every input; None has a scale of zero."""
    codes, zeros, scales, order = parts
    result = np.zeros_like(gptq_weight(*parts))
    for row in range(len(order)):
        chosen = group(row)
        if chosen is not None:
            result[:, row] = (codes[row] - zeros[chosen]) * scales[chosen].astype(np.float32)
    return result


def shifted_scales(parts: Parts, step: int, wrap: bool, zeros_too: bool) -> Array:
    """The scales of a neighbouring group."""
    codes, zeros, scales, order = parts
    near = [g + step for g in range(len(scales))]
    near = [g % len(scales) if wrap else min(max(g, 0), len(scales) - 1) for g in near]
    return gptq_weight(codes, zeros[near] if zeros_too else zeros, scales[near], order)


def reversed_codes(parts: Parts, span: int) -> Array:
    """Codes in reverse order within every `span`."""
    codes, zeros, scales, order = parts
    turned = [start + span - 1 - place for start in range(0, len(codes), span) for place in range(span)]
    return gptq_weight(codes[turned], zeros, scales, order)


def as_signed(parts: Parts, bits: int) -> Array:
    """Two's complement, and no zero point."""
    codes, zeros, scales, order = parts
    return gptq_weight(np.where(codes >> (bits - 1), codes - (1 << bits), codes), zeros * 0, scales, order)


LOW = "as if the zero point were one too low (checkpoint_format gptq read as gptq_v2)"


HIGH = "as if the zero point were one too high (checkpoint_format gptq_v2 read as gptq)"


GPTQ_FAULTS: dict[str, tuple[Callable[[Parts, int], Array], str]] = {
    "low": (lambda p, bits: gptq_weight(p[0], (p[1] + (1 << bits) - 1) % (1 << bits), p[2], p[3]), LOW),
    "high": (lambda p, _: gptq_weight(p[0], p[1] + 1, p[2], p[3]), HIGH),
    "high, wrapped": (lambda p, bits: gptq_weight(p[0], (p[1] + 1) % (1 << bits), p[2], p[3]), HIGH),
    "signed": (as_signed, "as if its unsigned codes had been read as signed, without a zero point"),
    "no zero": (lambda p, _: gptq_weight(p[0], p[1] * 0, p[2], p[3]), "as if no zero point had been subtracted"),
    "order": (lambda p, _: regrouped(p, lambda row: row // GROUP), "as if g_idx had been ignored"),
    "double": (lambda p, _: regrouped(p, lambda row: row // 64), "as if the group size were 64"),
    "half": (lambda p, _: regrouped(p, lambda row: min(row // 16, 7)), "as if the group size were 16"),
    "half, then nothing": (
        lambda p, _: regrouped(p, lambda row: row // 16 if row < 128 else None),
        "as if the group size were 16",
    ),
    "one group": (lambda p, _: regrouped(p, lambda _: 0), "as if the group size were -1, one group a row"),
    "word reversed": (
        lambda p, bits: reversed_codes(p, 32 // bits),
        "as if the codes in a word had been read in reverse order",
    ),
}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("fault", "cause"), GPTQ_FAULTS.values(), ids=GPTQ_FAULTS)
def test_gptq_mistakes(tmp_path: Path, fault: Callable[[Parts, int], Array], cause: str, bits: int) -> None:
    """Named in words, for four and eight bits."""
    published = Published(tmp_path, "gptq", {DOWN: (48, 256)}, bits=bits)
    parts: Any = published.parts[DOWN]

    problem = only_problem(published.audit({DOWN: fault(parts, bits)}, "float16"))

    assert problem.endswith(f"; {cause}")


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("zeros_too", [False, True])
@pytest.mark.parametrize(("step", "which"), [(1, "the next one"), (-1, "the one before")])
def test_scales_of_a_neighbouring_group(gptq: Published, step: int, which: str, wrap: bool, zeros_too: bool) -> None:
    """Past the last group comes the first one, or the last one again."""
    parts: Any = gptq.parts[DOWN]

    problem = only_problem(gptq.audit({DOWN: shifted_scales(parts, step, wrap, zeros_too)}, "float16"))

    assert problem.endswith(f"; as if every group had the scales of {which}")


def test_nibbles_of_a_byte_swapped(gptq: Published) -> None:
    """Four bits only."""
    parts: Any = gptq.parts[DOWN]

    problem = only_problem(gptq.audit({DOWN: reversed_codes(parts, 2)}, "float16"))

    assert problem.endswith("; as if the codes in a word had been read in reverse order")


def test_some_rows_only(gptq: Published) -> None:
    """The mistake is named with its place."""
    wrong = gptq.weights[f"{DOWN}.weight"].copy()
    codes, zeros, scales, order = gptq.parts[DOWN]
    wrong[8:16] = gptq_weight(codes, zeros * 0, scales, order)[8:16]

    problem = only_problem(gptq.audit({DOWN: wrong}, "float16"))

    assert problem.endswith("; as if no zero point had been subtracted in rows 8 to 15")


def test_one_group_only(gptq: Published) -> None:
    """A scale that is wrong in one row, for the inputs of one group."""
    codes, zeros, scales, order = gptq.parts[DOWN]
    scales = scales.copy()
    scales[3, 11] *= 2
    hit = np.flatnonzero(order == 3)

    problem = only_problem(gptq.audit({DOWN: gptq_weight(codes, zeros, scales, order)}, "float16"))

    assert "; as if it had been multiplied by 2 in row 11, columns" in problem
    assert hit[0] <= int(problem.split()[-3]) < int(problem.split()[-1]) <= hit[-1]
