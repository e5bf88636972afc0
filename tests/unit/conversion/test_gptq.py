"""GPTQ: what was packed here by plain integer arithmetic comes out again, whatever the options."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.quantisation.schema import GptqOptions
from npu_conformance.conversion.formats import gptq
from npu_conformance.errors import CheckpointError

INPUTS, OUTPUTS = 64, 32


def pack(codes: NDArray[np.int64], bits: int) -> NDArray[np.int32]:
    """Codes [n, m] into words [n * bits / 32, m], the first code of a word in its lowest bits."""
    each = 32 // bits
    words = [
        [sum(int(code) << bits * place for place, code in enumerate(column)) for column in codes[at : at + each].T]
        for at in range(0, len(codes), each)
    ]
    return np.array(words, np.uint32).view(np.int32)


@dataclass
class Packed:
    """A weight as a checkpoint has it."""

    qweight: Any
    qzeros: Any
    scales: Any
    g_idx: Any

    def dequantise(self, options: GptqOptions) -> NDArray[np.float32]:
        """Its values."""
        values: NDArray[np.float32] = gptq.dequantise(
            self.qweight, self.qzeros, self.scales, self.g_idx, options
        ).numpy()
        return values


def random_weight(options: GptqOptions, seed: int = 0) -> tuple[Packed, NDArray[np.float32]]:
    """A packed weight, and the values it stands for, computed one by one."""
    import torch

    rng = np.random.default_rng(seed)
    size = INPUTS if options.group_size == -1 else options.group_size
    groups = -(-INPUTS // size)
    codes = rng.integers(0, 2**options.bits, (INPUTS, OUTPUTS))
    codes[:2, 0] = 0, 2**options.bits - 1
    zeros = np.full((groups, OUTPUTS), 2 ** (options.bits - 1))
    if not options.sym:
        zeros = rng.integers(0, 2**options.bits, (groups, OUTPUTS))
        zeros[0, :2] = 0, 2**options.bits - 1
    scales = rng.uniform(1e-4, 5e-3, (groups, OUTPUTS)).astype(np.float16)
    g_idx = np.arange(INPUTS) // size
    if options.desc_act:
        rng.shuffle(g_idx)
    stored = zeros if options.checkpoint_format == "gptq_v2" else (zeros - 1) % 2**options.bits
    values = np.empty((OUTPUTS, INPUTS), np.float32)
    for out in range(OUTPUTS):
        for at in range(INPUTS):
            group = g_idx[at]
            values[out, at] = float(codes[at, out] - zeros[group, out]) * float(scales[group, out])
    packed = Packed(
        torch.from_numpy(pack(codes, options.bits)),
        torch.from_numpy(pack(stored.T, options.bits).T.copy()),
        torch.from_numpy(scales),
        torch.from_numpy(g_idx.astype(np.int32)),
    )
    return packed, values


@pytest.mark.parametrize("checkpoint_format", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("desc_act", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("group_size", [-1, 16, 24, 128])
@pytest.mark.parametrize("sym", [True, False], ids=["sym", "asym"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packed_weights_come_out_exactly(
    bits: Literal[2, 4, 8],
    sym: bool,
    group_size: int,
    desc_act: bool,
    checkpoint_format: Literal["gptq", "gptq_v2"],
) -> None:
    """Zero points of 0 and of the highest code, and groups that the inputs do not fill, included."""
    options = GptqOptions(
        bits=bits, group_size=group_size, sym=sym, desc_act=desc_act, checkpoint_format=checkpoint_format
    )
    packed, expected = random_weight(options)

    values = packed.dequantise(options)

    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected)


def test_symmetric_int8_stores_its_zero_point_of_128_as_127() -> None:
    """As the published checkpoints do; one code off would shift every weight by a whole step."""
    import torch

    options = GptqOptions(bits=8, group_size=-1, sym=True)
    word = int.from_bytes(bytes([127] * 4), "little")
    codes = int.from_bytes(bytes([0, 127, 128, 255]), "little") - 2**32
    packed = Packed(
        torch.full((1, 4), codes, dtype=torch.int32),
        torch.full((1, 1), word, dtype=torch.int32),
        torch.full((1, 4), 0.5, dtype=torch.float16),
        torch.zeros(4, dtype=torch.int32),
    )

    assert packed.dequantise(options)[2].tolist() == [-64.0, -0.5, 0.0, 63.5]


def test_rows_may_be_read_in_any_portions() -> None:
    """A portion need not be a whole number of words."""
    options = GptqOptions(bits=4, group_size=16, sym=False, desc_act=True)
    packed, expected = random_weight(options)
    weight = gptq.read(packed.qweight, packed.qzeros, packed.scales, packed.g_idx, options=options)

    portions = [weight.rows(start, min(start + 5, OUTPUTS)) for start in range(0, OUTPUTS, 5)]

    np.testing.assert_array_equal(np.concatenate([(a * b).numpy() for a, b in portions]), expected)


def set_scale(value: float) -> Callable[[Packed], None]:
    """Such as an overflow of float16 that was saved."""

    def change(packed: Packed) -> None:
        packed.scales[0, 3] = value

    return change


def set_group(group: int) -> Callable[[Packed], None]:
    """An input belongs to another group."""

    def change(packed: Packed) -> None:
        packed.g_idx[7] = group

    return change


def cut(name: str, *where: slice) -> Callable[[Packed], None]:
    """A part loses rows or columns."""
    return lambda packed: setattr(packed, name, getattr(packed, name)[where])


def widen(name: str) -> Callable[[Packed], None]:
    """A part is of another dtype."""
    return lambda packed: setattr(packed, name, getattr(packed, name).double())


FIRST, EVEN = slice(0, 1), slice(0, None, 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("qweight", slice(None), slice(0, 31)), r"expected qweight int32 \[in / 8, a multiple of 8\], found int32"),
        (cut("qweight", EVEN), r"qzeros is int32 \[4, 4\], expected int32 \[2, 4\] for a weight \[32, 32\]"),
        (cut("qzeros", FIRST), r"qzeros is int32 \[1, 4\], expected int32 \[4, 4\]"),
        (cut("scales", FIRST), r"scales is float16 \[1, 32\], expected float16 \[4, 32\]"),
        (cut("g_idx", EVEN), r"g_idx is int32 \[32\], expected int32 \[64\]"),
        (widen("qweight"), r"expected qweight int32 .* found float64"),
        (widen("scales"), r"scales is float64 .* expected float16"),
        (widen("g_idx"), r"g_idx is float64"),
        (set_group(4), "g_idx is 0 to 4, expected 0 to 3"),
        (set_group(-1), "g_idx is -1 to 3, expected 0 to 3"),
        (set_group(2), "desc_act is false, but g_idx does not number the groups in order"),
        (set_scale(float("inf")), "its scales are .* to inf, expected finite ones above zero"),
        (set_scale(0.0), "its scales are 0 to"),
        (set_scale(-0.5), "its scales are -0.5 to"),
    ],
)
def test_damage_is_refused(damage: Callable[[Packed], None], message: str) -> None:
    """With what was expected and what was found."""
    options = GptqOptions(bits=4, group_size=16, sym=True)
    packed, _ = random_weight(options)
    damage(packed)

    with pytest.raises(CheckpointError, match=message) as caught:
        packed.dequantise(options)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("written", "read"), [("gptq", "gptq_v2"), ("gptq_v2", "gptq")])
def test_the_wrong_format_of_a_symmetric_checkpoint_is_seen(
    written: Literal["gptq", "gptq_v2"], read: Literal["gptq", "gptq_v2"]
) -> None:
    """Its zero points are known."""
    packed, _ = random_weight(GptqOptions(bits=8, group_size=16, sym=True, checkpoint_format=written))

    with pytest.raises(CheckpointError, match=f"zero points must be 128, found 12[79] .*format '{read}' right"):
        packed.dequantise(GptqOptions(bits=8, group_size=16, sym=True, checkpoint_format=read))


def test_scales_may_be_bfloat16() -> None:
    """As those of some bfloat16 models are."""
    import torch

    options = GptqOptions(bits=4, group_size=16, sym=True)
    packed, _ = random_weight(options)
    packed.scales = packed.scales.to(torch.bfloat16)
    codes, scales = gptq.read(packed.qweight, packed.qzeros, packed.scales, packed.g_idx, options=options).rows(
        0, OUTPUTS
    )

    assert torch.equal(scales, packed.scales.float().T.repeat_interleave(16, dim=1))
    assert codes.abs().max() <= 8


OPTIONS: dict[str, Any] = {"bits": 4, "group_size": 128, "sym": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 5}, "bits: expected 2, 3, 4 or 8, found 5"),
        ({"bits": "4"}, "bits: expected 2, 3, 4 or 8, found '4'"),
        ({"bits": 3}, "bits is 3, but only weights of 2, 4 and 8 bits can be converted"),
        ({"group_size": 0}, "group_size: expected -1 or a size above zero, found 0"),
        ({"checkpoint_format": "marlin"}, "checkpoint_format: expected 'gptq' or 'gptq_v2', found 'marlin'"),
        ({"sym": None}, "sym: expected a valid boolean, found null"),
        ({"dynamic": {"-:lm_head": {}}}, "dynamic: modules with options of their own cannot be converted"),
    ],
)
def test_options_are_checked(changes: dict[str, Any], message: str) -> None:
    """By key, with what is possible and what was found."""
    with pytest.raises(CheckpointError, match=f"^config.json: {message}$"):
        gptq.find(Checkpoint(Path(), {}, {}), OPTIONS | changes, "config.json")


def test_a_missing_option_is_named() -> None:
    """Nothing is assumed about what codes mean."""
    with pytest.raises(CheckpointError, match=r"^config\.json: bits: required key is missing$"):
        gptq.find(Checkpoint(Path(), {}, {}), {"group_size": 128, "sym": True}, "config.json")


def test_groups_in_order_need_no_index() -> None:
    """As it is left out where desc_act is false."""
    options = GptqOptions(bits=4, group_size=16, sym=True)
    packed, expected = random_weight(options)
    packed.g_idx = None

    np.testing.assert_array_equal(packed.dequantise(options), expected)
