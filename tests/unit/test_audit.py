"""The audit: correct conversions pass; every fault, made here in a way of its own, is found, placed and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.audit import audit as audit_module
from npu_conformance.audit.audit import Audit, audit, run
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.engines.job import AuditJob

from .test_published import Array, fp8_codes, fp8_tensors, fp8_values, gptq_config, gptq_tensors, write_checkpoint

DOWN = "model.layers.1.mlp.down_proj"
GATE = "model.layers.1.mlp.gate_proj"
BLOCK = 16
GROUP = 32


def ignore(*_: object) -> None:
    """Progress that nobody watches."""


def written(folder: Path, tensors: dict[str, Array], dtype: str = "bfloat16", config: Any = None) -> Checkpoint:
    """A plain checkpoint, rounded by torch."""
    import torch

    content = {name: torch.from_numpy(array.copy()).to(getattr(torch, dtype)) for name, array in tensors.items()}
    return write_checkpoint(folder, config or {}, content)


class Published:
    """A published checkpoint of one kind: what its layers are made of, its correct weights, and a folder of it."""

    def __init__(self, folder: Path, kind: str, layers: dict[str, tuple[int, ...]], **options: Any) -> None:
        """Args: layers: shapes [outputs, inputs] by name."""
        self.folder = folder
        self.weights: dict[str, Array] = {}
        self.parts: dict[str, tuple[Array, ...]] = {}
        make: dict[str, Callable[..., dict[str, Any]]] = {"fp8": self._fp8, "gptq": self._gptq, "plain": self._plain}
        rng = np.random.default_rng(11)
        tensors: dict[str, Any] = {}
        for name, shape in layers.items():
            tensors |= make[kind](rng, name, shape, **options)
        config = {
            "fp8": {"quantization_config": {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}},
            "gptq": gptq_config(options.get("bits", 4), GROUP, sym=False, checkpoint_format="gptq_v2"),
            "plain": {},
        }[kind]
        self.source = write_checkpoint(folder / "source", config, tensors)

    def _plain(self, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        import torch

        tensor = torch.from_numpy(rng.normal(size=shape) * 0.02).bfloat16()
        self.weights[f"{name}.weight"] = tensor.float().numpy()
        return {f"{name}.weight": tensor}

    def _fp8(self, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        codes = fp8_codes(shape, int(rng.integers(1 << 30)))
        scale = rng.uniform(0.0005, 0.01, [-(-side // BLOCK) for side in shape]).astype(np.float32)
        self.parts[name] = fp8_values(codes), scale
        self.weights[f"{name}.weight"] = fp8_values(codes) * spread(scale, shape)
        return fp8_tensors(name, codes, scale)

    def _gptq(self, rng: np.random.Generator, name: str, shape: tuple[int, ...], bits: int = 4) -> dict[str, Any]:
        outputs, inputs = shape
        codes = rng.integers(0, 1 << bits, (inputs, outputs))
        zeros = rng.integers(0, 1 << bits, (inputs // GROUP, outputs))
        scales = rng.uniform(0.001, 0.01, zeros.shape).astype(np.float16)
        order = rng.permutation(np.repeat(np.arange(inputs // GROUP), GROUP))
        self.parts[name] = codes, zeros, scales, order
        self.weights[f"{name}.weight"] = gptq_weight(codes, zeros, scales, order)
        return gptq_tensors(name, bits, codes, zeros, scales, order.tolist())

    def candidate(self, replaced: dict[str, Array], dtype: str = "bfloat16") -> Checkpoint:
        """The converted checkpoint, some weights replaced by layer."""
        changed = {f"{name}.weight": array.astype(np.float32) for name, array in replaced.items()}
        return written(self.folder / "candidate", self.weights | changed, dtype)

    def audit(self, replaced: dict[str, Array], dtype: str = "bfloat16") -> Audit:
        """The audit of it."""
        return audit(self.source, self.candidate(replaced, dtype), ignore)


def spread(scale: Array, shape: tuple[int, ...]) -> Array:
    """A scale for every element."""
    return np.kron(scale, np.ones((BLOCK, BLOCK), dtype=np.float32))[: shape[0], : shape[1]]


def gptq_weight(codes: Array, zeros: Array, scales: Array, order: Array) -> Array:
    """[outputs, inputs], a row of codes at a time."""
    rows = [(code - zeros[g].astype(int)) * scales[g].astype(np.float32) for code, g in zip(codes, order, strict=True)]
    return np.array(rows, dtype=np.float32).T


@pytest.fixture
def fp8(tmp_path: Path) -> Published:
    """Two FP8 layers; the grid of the first is square, that of the second has blocks cut off at both edges."""
    return Published(tmp_path, "fp8", {GATE: (64, 64), DOWN: (40, 90)})


@pytest.fixture
def gptq(tmp_path: Path) -> Published:
    """A layer in asymmetric GPTQ with four bits and permuted inputs."""
    return Published(tmp_path, "gptq", {DOWN: (48, 256)})


@pytest.fixture
def plain(tmp_path: Path) -> Published:
    """Three layers without quantisation."""
    shapes = {
        "model.norm": (64,),
        GATE: (64, 64),
        DOWN: (64, 64),
        DOWN.replace("1", "0"): (64, 64),
        "model.up": (9, 50),
    }
    return Published(tmp_path, "plain", shapes)


def only_problem(result: Audit, name: str = DOWN) -> str:
    """What follows a layer's name in the only problem there is."""
    assert not result.passed
    assert len(result.problems) == 1
    assert result.broken == 1
    assert result.worst[0].broken
    assert result.worst[0].name == f"{name}.weight"
    found, _, rest = result.problems[0].partition(": ")
    assert found == f"{name}.weight"
    assert "\n" not in rest
    return rest


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("kind", ["fp8", "gptq", "plain"])
def test_a_correct_conversion_passes(tmp_path: Path, kind: str, dtype: str) -> None:
    """And its figures are those of a computation over all weights at once."""
    import torch

    published = Published(tmp_path, kind, {GATE: (64, 64), DOWN: (96, 160)})

    result = published.audit({}, dtype)

    assert result.passed
    assert (result.parameters, result.exact, result.broken) == (2, 2, 0)
    exact = np.concatenate([array.ravel() for array in published.weights.values()]).astype(np.float64)
    error = torch.from_numpy(exact).float().to(getattr(torch, dtype)).double().numpy() - exact
    assert result.relative_rms == pytest.approx(np.linalg.norm(error) / np.linalg.norm(exact), rel=1e-9)
    assert result.max_abs == np.abs(error).max()
    assert result.mean_abs == pytest.approx(np.abs(error).mean(), rel=1e-9)
    assert result.allowed == {"bfloat16": 2 / 256, "float16": 2 / 2048, "float32": 2 / 2**24}[dtype]


def test_rounding_the_scale_as_well_passes_without_being_exact(fp8: Published) -> None:
    """As converters do that compute in the target's dtype: two roundings instead of one."""
    import torch

    values, scale = fp8.parts[DOWN]
    rounded = torch.from_numpy(scale).bfloat16().float().numpy()

    result = fp8.audit({DOWN: values * spread(rounded, values.shape)})

    assert result.passed
    assert result.exact == 1
    assert 0.0015 < result.worst[0].relative_rms < result.worst[0].allowed


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


def edited(change: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """A fault that changes weights in place."""

    def fault(weights: Array) -> Array:
        changed = weights.copy()
        change(changed)
        return changed

    return fault


def scale_part(part: Any, factor: Any) -> Callable[[Array], Array]:
    """A fault that multiplies a part."""
    return edited(lambda weights: weights.__setitem__(part, weights[part] * factor))


factors = np.random.default_rng(2).uniform(0.3, 3, 64)
PLAIN_FAULTS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "zeros": (lambda w: w * 0, "as if it had been filled with zeros"),
    "zero rows": (scale_part(np.s_[3:9], 0), "as if it had been filled with zeros in rows 3 to 8"),
    "transposed": (lambda w: w.T, "as if it had been transposed"),
    "doubled": (lambda w: w * 2, "as if it had been multiplied by 2"),
    "slightly larger": (lambda w: w * np.float32(1.0125), "as if it had been multiplied by 1.01"),
    "negated": (lambda w: -w, "as if it had been multiplied by -1"),
    "row block": (scale_part(np.s_[16:32], 0.5), "as if it had been multiplied by 0.5 in rows 16 to 31"),
    "row": (scale_part(5, 1.5), "as if it had been multiplied by 1.5 in row 5"),
    "column block": (scale_part(np.s_[:, 60:], 3), "as if it had been multiplied by 3 in columns 60 to 63"),
    "block": (
        scale_part(np.s_[8:16, 24:32], 0.9),
        "as if it had been multiplied by 0.9 in rows 8 to 15, columns 24 to 31",
    ),
    "rows": (lambda w: w * factors[:, None], "as if every row had been multiplied by a factor of its own"),
    "columns": (lambda w: w * factors, "as if every column had been multiplied by a factor of its own"),
    "one element": (
        edited(lambda w: w.__setitem__((7, 9), w[7, 9] * 1.03)),
        "no mistake with a whole block or row, but damage of single elements in row 7, column 9",
    ),
    "random": (lambda w: np.roll(w, 1, axis=0), "no known mistake explains it"),
    "noise": (
        edited(lambda w: w.__setitem__(np.s_[:2], w[:2] + 0.01)),
        "no known mistake explains it in rows 0 to 1",
    ),
    "overflow": (scale_part(4, np.inf), "no known mistake explains it in row 4"),
    "nan": (scale_part(4, np.nan), "no known mistake explains it in row 4"),
}


@pytest.mark.parametrize(("fault", "cause"), PLAIN_FAULTS.values(), ids=PLAIN_FAULTS)
def test_mistakes_in_any_format(plain: Published, fault: Callable[[Array], Array], cause: str) -> None:
    """Named and placed, or honestly not named."""
    problem = only_problem(plain.audit({DOWN: fault(plain.weights[f"{DOWN}.weight"])}))

    assert problem.endswith(f"; {cause}")


def test_a_lost_ternary_scale(tmp_path: Path) -> None:
    """The candidate has -1, 0 and 1 only."""
    ternary = np.random.default_rng(3).integers(-1, 2, (64, 64)).astype(np.float32)
    source = written(tmp_path / "source", {f"{DOWN}.weight": ternary * factors[:, None].astype(np.float32)})
    candidate = written(tmp_path / "candidate", {f"{DOWN}.weight": ternary})

    problem = only_problem(audit(source, candidate, ignore))

    assert problem.endswith("; as if only its signs had been kept and the ternary scale lost")


@pytest.mark.parametrize("other", [DOWN.replace("1", "0"), GATE])
def test_weights_of_another_tensor(plain: Published, other: str) -> None:
    """The same of another layer, or another of the same layer."""
    problem = only_problem(plain.audit({DOWN: plain.weights[f"{other}.weight"]}))

    assert problem.endswith(f"; as if it had been taken from {other}.weight")


@pytest.mark.parametrize(
    ("coarse", "dtype"), [("bfloat16", "float16"), ("bfloat16", "float32"), ("float16", "float32")]
)
def test_rounded_on_the_way(gptq: Published, coarse: str, dtype: str) -> None:
    """To a coarser dtype than the one it is kept in."""
    import torch

    rounded = torch.from_numpy(gptq.weights[f"{DOWN}.weight"]).to(getattr(torch, coarse)).float().numpy()

    problem = only_problem(gptq.audit({DOWN: rounded}, dtype))

    assert problem.endswith(f"; as if it had been rounded to {coarse} on the way")


def test_a_norm_of_another_size(plain: Published) -> None:
    """Vectors are audited too, and not explained by a factor for each element."""
    weight = plain.weights["model.norm.weight"]
    wrong = {"model.norm": weight + np.random.default_rng(5).normal(size=64)}

    assert only_problem(plain.audit(wrong), "model.norm").endswith("; no known mistake explains it")


@pytest.mark.parametrize(
    ("part", "factor", "words"),
    [
        (
            np.s_[1280:1408, 512:640],
            1.1,
            "as if it had been multiplied by 1.1 in rows 1280 to 1407, columns 512 to 639",
        ),
        (np.s_[1999], 1.1, "as if it had been multiplied by 1.1 in row 1999"),
        (np.s_[1000:1001, 7:8], 1.02, "1 of 4194304 elements differ from the published ones by more than rounding"),
    ],
    ids=["block", "row", "element"],
)
def test_a_small_fault_in_a_large_tensor(tmp_path: Path, part: Any, factor: float, words: str) -> None:
    """Far below the tensor's relative error, and found all the same."""
    published = Published(tmp_path, "plain", {DOWN: (2048, 2048)})
    wrong = published.weights[f"{DOWN}.weight"].copy()
    wrong[part] *= factor

    result = published.audit({DOWN: wrong})

    assert words in only_problem(result)
    assert result.relative_rms < result.allowed


def test_a_difference_in_the_mean_square_alone(plain: Published) -> None:
    """No element is beyond its limit, all of them are near it."""
    weights = plain.weights[f"{DOWN}.weight"]
    sign = np.random.default_rng(8).choice([-1, 1], weights.shape)

    result = plain.audit({DOWN: weights * (1 + 0.0105 * sign)})

    assert result.worst[0].off == 0
    assert "differs from the published weights by 1.0" in only_problem(result)
    assert result.problems[0].endswith("(allowed 0.78 %); no known mistake explains it")


def test_an_engines_own_format_is_compared_too(fp8: Published) -> None:
    """FP8 against FP8: the same codes pass, a scale in the wrong place does not."""
    from safetensors.torch import load_file

    stored = load_file(fp8.folder / "source" / "model.safetensors")
    same = write_checkpoint(fp8.folder / "same", fp8.source.config, stored)
    turned = {f"{GATE}.weight_scale_inv": stored[f"{GATE}.weight_scale_inv"].T}
    other = write_checkpoint(fp8.folder / "other", fp8.source.config, stored | turned)

    clean = audit(fp8.source, same, ignore)
    assert clean.passed
    assert clean.exact == 2
    assert clean.relative_rms == 0
    assert only_problem(audit(fp8.source, other, ignore), GATE).endswith("; as if the scale blocks were transposed")


def test_more_faults_than_are_shown(plain: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst are, the others are counted."""
    monkeypatch.setattr(audit_module, "_SHOWN", 2)
    wrong = {name.removesuffix(".weight"): array * 0.5 for name, array in plain.weights.items()}
    wrong[GATE] = plain.weights[f"{GATE}.weight"] * 3

    result = plain.audit(wrong)

    assert result.broken == len(plain.weights)
    assert result.worst[0].name == f"{GATE}.weight"
    assert result.problems[0] == (
        f"{GATE}.weight: differs from the published weights by 200 % (allowed 0.78 %); "
        "as if it had been multiplied by 3"
    )
    assert result.problems[2] == "3 more parameters differ from the published weights"


def test_missing_unexpected_and_misshapen_parameters(tmp_path: Path) -> None:
    """Nothing passes because it was not there to be compared; a scale left behind is no weight."""
    arrays = {f"{name}.weight": np.ones((4, 8), dtype=np.float32) for name in "abcdef"}
    source = written(tmp_path / "source", arrays)
    found = {"e.weight": np.ones((8, 4), np.float32), "f.weight": np.ones((4, 4), np.float32)}
    extra = {"f.weight_scale_inv": np.ones(1, np.float32)}

    result = audit(source, written(tmp_path / "candidate", found | extra), ignore)

    assert result.problems == [
        "a.weight, b.weight, c.weight and 1 more: missing in the candidate",
        "f.weight_scale_inv: in the candidate, but not in the published checkpoint",
        "e.weight: has shape (8, 4), the published one (4, 8), as if it had been transposed",
        "f.weight: has shape (4, 4), the published one (4, 8)",
    ]
    assert not result.passed
    assert result.parameters == 0


DROPPED = "tied lm_head dropped: missing in the candidate, whose config.json does not say tie_word_embeddings"


@pytest.mark.parametrize(
    ("published", "tied", "found", "candidate_tied", "problem"),
    [
        ("same", True, "", True, None),
        ("", True, "same", True, None),
        ("", True, "same", False, None),
        ("", True, "other", False, "as if it had been multiplied by 2"),
        ("same", True, "same", False, None),
        ("same", True, "", False, DROPPED),
        ("", True, "", False, DROPPED),
        ("other", False, "other", False, None),
        ("other", False, "", False, "lm_head dropped: missing in the candidate"),
        ("other", False, "other", True, "not used, for the candidate's config.json says tie_word_embeddings"),
        ("", None, "", None, None),
        ("other", None, "", None, "lm_head dropped: missing in the candidate"),
    ],
)
def test_tied_heads(
    tmp_path: Path, published: str, tied: bool | None, found: str, candidate_tied: bool | None, problem: str | None
) -> None:
    """A head need not be stored where it is tied, and must be where it is not."""
    embedding = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
    heads: dict[str, dict[str, Array]] = {
        "": {},
        "same": {"lm_head.weight": embedding},
        "other": {"lm_head.weight": 2 * embedding},
    }
    sides = []
    for name, head, tie in (("source", published, tied), ("candidate", found, candidate_tied)):
        config = {} if tie is None else {"tie_word_embeddings": tie}
        tensors: dict[str, Array] = {"model.embed_tokens.weight": embedding, **heads[head]}
        sides.append(written(tmp_path / name, tensors, config=config))

    result = audit(sides[0], sides[1], ignore)

    assert result.passed == (problem is None)
    if problem:
        assert len(result.problems) == 1
        assert result.problems[0].startswith("lm_head.weight: ")
        assert problem in result.problems[0]


def test_a_job_leaves_json_with_nan_in_it(plain: Published) -> None:
    """It is read back as it was."""
    wrong = plain.weights[f"{DOWN}.weight"].copy()
    wrong[0, 0] = np.nan
    plain.candidate({DOWN: wrong})
    output = plain.folder / "audit.json"
    seen: list[tuple[str, int, int]] = []

    run(
        AuditJob(source=plain.folder / "source", candidate=plain.folder / "candidate", output=output),
        lambda *step: seen.append(step),
    )

    result = Audit.model_validate_json(output.read_text(encoding="utf-8"))
    assert np.isnan(result.relative_rms)
    assert np.isnan(result.max_abs)
    assert not result.passed
    assert json.loads(output.read_text(encoding="utf-8"))["worst"][0]["relative_rms"] == "NaN"
    assert seen[0] == ("comparing weights", 0, 5)
    assert seen[-1] == ("naming causes", 0, 1)
