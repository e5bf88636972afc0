"""The values of an adapter's weights: NaN, infinity, and matrices that change nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from npu_conformance.checkpoints.checkpoint import Finding, some
from npu_conformance.checkpoints.headers import shown

# A float's bits as a whole number, and the bits of its exponent: all of them are set in NaN and infinity.
_FORMATS = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
_CHUNK = 1 << 24


def value_findings(file: Path) -> Iterator[Finding]:
    """What the values of a safetensors file show.

    Args:
        file: an adapter's weights, whose header was read and found right.
    """
    if file.suffix != ".safetensors":
        yield Finding("note", file.name, "it is no safetensors file, so that its values were not looked at")
        return
    broken, empty, matrices = [], [], 0
    for name, finite, zero in _read(file):
        broken += [] if finite else [name]
        if ".lora_B." in name or name.endswith(".lora_embedding_B"):
            matrices += 1
            empty += [name] if zero else []
    if broken:
        remedy = "take another checkpoint of the training"
        yield Finding("error", file.name, f"NaN or infinity in {some(map(shown, broken))}: {remedy}")
    if empty and len(empty) == matrices:
        found = f"all {matrices} matrices B are zero, as before training; the adapter changes nothing"
        yield Finding("error", file.name, f"{found}: take the one that was saved after it")
    elif empty:
        yield Finding("note", file.name, f"{len(empty)} of {matrices} matrices B are zero, such as {shown(empty[0])}")


def _read(file: Path) -> Iterator[tuple[str, bool, bool]]:
    """Of each tensor of floats its name, whether all values are finite, and whether all are zero."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        for name, entry in header.items():
            if name == "__metadata__" or entry["dtype"] not in _FORMATS:
                continue
            dtype, exponent = _FORMATS[entry["dtype"]]
            start, end = entry["data_offsets"]
            stream.seek(8 + length + start)
            finite = zero = True
            for at in range(start, end, _CHUNK):
                bits = np.frombuffer(stream.read(min(_CHUNK, end - at)), dtype)
                finite &= not bool(((bits & exponent) == exponent).any())
                zero &= not bool((bits << 1).any())  # without the sign
            yield name, finite, zero
