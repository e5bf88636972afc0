"""GPTQ as published, bit by bit: (code - zero point) times scale, both of the input's group.

Layout: Frantar et al., GPTQ (2022), as AutoGPTQ and GPTQModel store it. `qweight` holds the codes of consecutive
inputs in one word, lowest bits first, `qzeros` those of consecutive outputs; `g_idx` names each input's group.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.weights import Floats
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.errors import CheckpointError

_PARTS = ("qweight", "qzeros", "scales", "g_idx")
# What was subtracted from a zero point before it was stored.
_OFFSETS = {"gptq": 1, "gptq_v2": 0}
_READ = (("bits", (4, 8)), ("checkpoint_format", tuple(_OFFSETS)))

Words = NDArray[np.uint32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Gptq:
    """A parameter in GPTQ."""

    bits: int
    group_size: int
    words: Words
    """[inputs / codes a word, outputs]."""
    zeros: Integers
    """Zero points as they are subtracted, [groups, outputs]."""
    scales: Floats
    """[groups, outputs]."""
    groups: Integers
    """Group of each input."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter, [outputs, inputs]."""
        return self.words.shape[1], len(self.groups)

    def rows(self, start: int, stop: int) -> Floats:
        """Some rows (see `Weights.rows`)."""
        codes = unpack(self.words[:, start:stop].T, self.bits).astype(np.float32)
        zeros = self.zeros[self.groups, start:stop].T.astype(np.float32)
        return np.asarray((codes - zeros) * self.scales[self.groups, start:stop].T)


def unread(checkpoint: Checkpoint) -> str | None:
    """See `Format`."""
    options = {"checkpoint_format": "gptq"} | checkpoint.quantisation
    if options.get("dynamic"):
        return "dynamic (modules with options of their own)"
    return next((f"{key} {options[key]}" for key, known in _READ if key in options and options[key] not in known), None)


def parameter_of(checkpoint: Checkpoint, stored: str) -> str | None:
    """See `Format`."""
    module, _, part = stored.rpartition(".")
    return f"{module}.weight" if part in _PARTS and f"{module}.qweight" in checkpoint.tensors else None


def stored_name(checkpoint: Checkpoint, name: str) -> str | None:
    """See `Format`."""
    return _part(name, "qweight") if name.endswith("weight") and _part(name, "qweight") in checkpoint.tensors else None


def unpack(words: Words, bits: int) -> NDArray[np.uint8]:
    """Codes of words, lowest bits first: uint32 [m, n] to uint8 [m, n * codes a word]."""
    octets = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
    places = np.unpackbits(octets, bitorder="little").reshape(-1, bits)
    codes = places @ (1 << np.arange(bits)).astype(np.uint8)
    return codes.reshape(len(words), -1)


def read(checkpoint: Checkpoint, name: str) -> Gptq:
    """Read a parameter that is stored in GPTQ's parts.

    Args:
        checkpoint: the checkpoint.
        name: the parameter, such as `model.layers.0.mlp.up_proj.weight`.

    Raises:
        CheckpointError: a part is missing, or the parts disagree with each other or with the config.
    """
    settings = _settings(checkpoint)
    bits, group_size, offset = settings["bits"], settings["group_size"], _OFFSETS[settings["checkpoint_format"]]
    words = _words(checkpoint, _part(name, "qweight"))
    inputs = len(words) * (32 // bits)
    group_size = inputs if group_size == -1 else group_size
    groups = np.arange(inputs) // group_size
    if _part(name, "g_idx") in checkpoint.tensors:
        groups = load_tensor(checkpoint, _part(name, "g_idx")).numpy().astype(np.int64)
    scales: Floats = load_tensor(checkpoint, _part(name, "scales")).float().numpy()
    stored = unpack(_words(checkpoint, _part(name, "qzeros")), bits)
    zeros = (stored.astype(np.int64) + offset) % (1 << bits)
    _check(checkpoint, name, {"inputs": inputs, "group_size": group_size}, words, zeros, scales, groups)
    middle = 1 << (bits - 1)
    if settings.get("sym") and (zeros != middle).any():
        raise CheckpointError(
            f"{checkpoint.folder}: {_part(name, 'qzeros')} holds {stored[zeros != middle][0]}, its config says sym and "
            f"{settings['checkpoint_format']}, for which {middle - offset} is expected: engines would not agree on "
            "these weights; correct sym or checkpoint_format"
        )
    return Gptq(bits, group_size, words, zeros, scales, groups)


def _part(name: str, part: str) -> str:
    return name.removesuffix("weight") + part


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """The quantisation's settings, checked to be of a kind that is read here."""
    found = checkpoint.quantisation
    where = checkpoint.folder / "config.json"
    if not found:
        where = checkpoint.folder / "quantize_config.json"
        # AutoGPTQ's file belongs to no other method and does not name its own.
        found = {"quant_method": "gptq"} | read_json(where, "it says how qweight is packed")
    settings = {"group_size": -1, "checkpoint_format": "gptq"} | found
    for key, known in (("quant_method", ("gptq",)), *_READ):
        if settings.get(key) not in known:
            raise CheckpointError(
                f"{where}: {key} is {settings.get(key)!r}; GPTQ weights can be read where it is "
                f"{' or '.join(map(repr, known))}: use another checkpoint of this model"
            )
    return settings


def _words(checkpoint: Checkpoint, name: str) -> Words:
    return np.asarray(load_tensor(checkpoint, name).numpy()).view(np.uint32)


def _check(
    checkpoint: Checkpoint,
    name: str,
    sizes: dict[str, int],
    words: Words,
    zeros: Integers,
    scales: Floats,
    groups: Integers,
) -> None:
    expected = (-(-sizes["inputs"] // sizes["group_size"]), words.shape[1])
    for part, shape in (("scales", scales.shape), ("qzeros", zeros.shape)):
        if shape != expected:
            raise CheckpointError(
                f"{checkpoint.folder}: {_part(name, part)} is for {shape} groups and outputs; expected {expected} from "
                f"{_part(name, 'qweight')} and group_size {sizes['group_size']}: weights and quantisation config "
                "are not of the same model"
            )
    if groups.shape != (sizes["inputs"],) or groups.min() < 0 or groups.max() >= expected[0]:
        raise CheckpointError(
            f"{checkpoint.folder}: {_part(name, 'g_idx')} has shape {groups.shape} and values {groups.min()} to "
            f"{groups.max()}; expected a group below {expected[0]} for each of {sizes['inputs']} inputs: download "
            "the model again"
        )
