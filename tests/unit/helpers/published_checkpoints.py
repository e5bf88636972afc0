"""Published checkpoints for the tests of the independent reading and of the audit, made element by element."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.audit import Audit, audit
from npu_conformance.checkpoints.inspect import Checkpoint, examine

Array = NDArray[Any]
DOWN = "model.layers.1.mlp.down_proj"
GATE = "model.layers.1.mlp.gate_proj"
BLOCK = 16
GROUP = 32


def write_checkpoint(folder: Path, config: dict[str, Any], tensors: dict[str, Any]) -> Checkpoint:
    """A checkpoint folder of torch tensors, of which inspection may think what it likes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], **config}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return examine(folder)


def fp8_tensors(name: str, codes: Array, scale: Array, end: str = "weight_scale_inv") -> dict[str, Any]:
    """An FP8 layer from codes uint8 [outputs, inputs] and its scale."""
    import torch

    return {
        f"{name}.weight": torch.from_numpy(codes).view(torch.float8_e4m3fn),
        f"{name}.{end}": torch.from_numpy(scale.astype(np.float32)),
    }


def packed(codes: Array, bits: int) -> Array:
    """Codes [n, m] as int32 words [n * bits / 32, m], the first code in the lowest bits, by Python's integers."""
    per_word = 32 // bits
    rows = []
    for start in range(0, len(codes), per_word):
        words = [0] * codes.shape[1]
        for place in range(per_word):
            for column, code in enumerate(codes[start + place].tolist()):
                words[column] += code << (place * bits)
        rows.append([word - (1 << 32) if word >> 31 else word for word in words])
    return np.array(rows, dtype=np.int32)


def gptq_tensors(name: str, bits: int, codes: Array, stored: Array, scales: Array, g_idx: Any = None) -> dict[str, Any]:
    """A GPTQ layer from codes [inputs, outputs], zero points as they are stored and scales [groups, outputs]."""
    import torch

    tensors = {
        f"{name}.qweight": torch.from_numpy(packed(codes, bits)),
        f"{name}.qzeros": torch.from_numpy(packed(stored.T, bits).T.copy()),
        f"{name}.scales": torch.from_numpy(scales.astype(np.float16)),
    }
    return tensors if g_idx is None else tensors | {f"{name}.g_idx": torch.tensor(g_idx, dtype=torch.int32)}


def gptq_config(bits: int, group_size: int, **more: Any) -> dict[str, Any]:
    """A config of GPTQ weights."""
    return {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": group_size} | more}


def fp8_codes(shape: tuple[int, ...], seed: int = 7) -> Array:
    """Codes of every kind but NaN."""
    codes = np.random.default_rng(seed).integers(0, 255, size=shape).astype(np.uint8)
    codes[codes == 0x7F] = 0
    return codes


def fp8_values(codes: Array) -> Array:
    """Their values, by torch."""
    import torch

    values: Array = torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy()
    return values


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
    return np.asarray(np.array(rows, dtype=np.float32).T)


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
