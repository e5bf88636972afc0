"""Headers of safetensors files: every place is a tensor's own and of its size, or the file and tensor are named."""

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.headers import read_header
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.errors import CheckpointError

Header = dict[str, Any]
PLAIN: Header = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def write(file: Path, header: Header | str | bytes, data: int = 32) -> Path:
    """A file with this header and so many bytes behind it."""
    text = header if isinstance(header, str | bytes) else json.dumps(header)
    content = text if isinstance(text, bytes) else text.encode()
    file.write_bytes(struct.pack("<Q", len(content)) + content + bytes(data))
    return file


def changed(name: str, **entry: Any) -> Header:
    """The plain header with other values for one tensor."""
    return PLAIN | {name: PLAIN[name] | entry}


def test_a_sound_header(tmp_path: Path) -> None:
    """Padded with spaces and in any order, as the library writes and takes it; with a scalar and one of no elements."""
    header = {
        "c": {"dtype": "F32", "shape": [0, 5], "data_offsets": [36, 36]},
        "d": {"dtype": "F32", "shape": [], "data_offsets": [32, 36]},
        **PLAIN,
    }
    found = read_header(write(tmp_path / "x.safetensors", json.dumps(header) + "   ", 36))

    assert {name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("BF16", (4,)),
        "c": ("F32", (0, 5)),
        "d": ("F32", ()),
    }


TWICE = '{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}'


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (changed("b", data_offsets=[16, 24]), "b: begins at byte 16, a ends at byte 24: they overlap"),
        (changed("b", data_offsets=[0, 8]), "a: begins at byte 0, b ends at byte 8: they overlap"),
        (changed("a", shape=[5], data_offsets=[0, 20]), "b: begins at byte 24, a ends at byte 20: 4 bytes between"),
        (changed("a", shape=[5], data_offsets=[4, 24]), "a: begins at byte 4, the header ends at byte 0: 4 bytes"),
        (changed("b", data_offsets=[32, 24]), "b: bytes 32 to 24 are -8, but BF16 .4. takes 8"),
        (changed("b", data_offsets=[8, 0]), "b: bytes 8 to 0 are -8"),
        (changed("b", data_offsets=[-8, 0]), "b: data_offsets.0 is -8: input should be greater than or equal to 0"),
        (changed("b", data_offsets=[24]), "b: data_offsets is .24.: list should have at least 2 items"),
        (changed("a", shape=[3, 3]), "a: bytes 0 to 24 are 24, but F32 .3, 3. takes 36"),
        (changed("b", dtype="F32"), "b: bytes 24 to 32 are 8, but F32 .4. takes 16"),
        (changed("a", shape=[-2]), "a: shape.0 is -2"),
        (changed("a", shape=[2**40, 2**40]), "a: bytes 0 to 24 are 24, but F32 .*takes"),
        (changed("a", shape=[2**70]), "a: shape.0 is"),
        (changed("a", shape=[1] * 100_000), "a: shape is .*at most 64 items"),
        (changed("a", shape="2"), "a: shape is '2': input should be a valid list"),
        (changed("a", shape=[[2]]), "a: shape.0 is .2.: input should be a valid integer"),
        (changed("a", shape=[True, 6]), "a: shape.0 is True"),
        (changed("a", shape=[2.0, 3]), "a: shape.0 is 2.0"),
        (changed("a", dtype="Q9"), "a: dtype is 'Q9', expected one of F64"),
        (changed("a", dtype=3), "a: dtype is 3: input should be a valid string"),
        (changed("a", dtype=None), "a: dtype is None"),
        (PLAIN | {"a": {}}, "a: dtype is .*field required"),
        (PLAIN | {"a": 7}, "a: it is 7, expected dtype, shape and data_offsets"),
        (PLAIN | {"__metadata__": {"n": 1}}, "__metadata__: n is 1"),
        (PLAIN | {"line\nbreak": 7}, r"'line\\nbreak': it is 7"),
        (TWICE, "a is there twice"),
        ("[]", "its header is a list, expected an object"),
        ('{"a"', "not a safetensors file"),
        ("[" * 100_000, "not a safetensors file"),
        ('{"\\ud800":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}', "not a safetensors file .*surrogates"),
        (b'{"\xff":1}', "not a safetensors file .*decode"),
        ('{"a":' + "9" * 5000 + "}", "not a safetensors file"),
    ],
)
def test_a_header_of_no_file_is_refused(tmp_path: Path, header: Header | str | bytes, message: str) -> None:
    """File, tensor, what was found and what was expected, in a line."""
    file = write(tmp_path / "x.safetensors", header)

    with pytest.raises(CheckpointError, match=message) as caught:
        read_header(file)

    assert str(caught.value).startswith(f"{file}: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_header_longer_than_the_library_takes_is_not_read(tmp_path: Path) -> None:
    """However long the file is."""
    file = tmp_path / "x.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", 1 << 30))
        stream.truncate(1 << 40)

    with pytest.raises(CheckpointError, match="its header would be 1073741824 bytes long, at most 100000000"):
        read_header(file)


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(-40, 40),
    st.sampled_from([2**31, 2**63, 2**64, "F32", "BF16", "I8", "F4", "F6_E2M3", "", None, True, 1.0, {}, []]),
    st.lists(st.integers(-1, 33), max_size=4),
)
PATHS = st.sampled_from(["dtype", "shape", "data_offsets"])


def _mutate(header: Header, draw: Callable[[Any], Any]) -> None:
    name = draw(st.sampled_from([*header, "new"]))
    if draw(st.booleans()) and isinstance(header.get(name), dict):
        header[name] = header[name] | {draw(PATHS): draw(VALUES)}
    elif draw(st.booleans()):
        header.pop(name, None)
    else:
        header[name] = draw(st.sampled_from([*header.values(), 7]))


def outcome(file: Path) -> dict[str, Tensor] | str:
    """The tensors, or the message of the error."""
    try:
        return read_header(file)
    except CheckpointError as error:
        return str(error)


@settings(max_examples=300, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_accepted_the_library_reads_alike(tmp_path: Path, data: st.DataObject) -> None:
    """Of a header changed in any place; what the library refuses is refused in one line."""
    from safetensors import SafetensorError, safe_open

    header = json.loads(json.dumps(PLAIN))
    for _ in range(data.draw(st.integers(1, 3))):
        _mutate(header, data.draw)
    text = bytearray(json.dumps(header).encode())
    for place in data.draw(st.lists(st.integers(0, len(text) - 1), max_size=1)):
        text[place] = data.draw(st.integers(0, 255))
    file = write(tmp_path / "x.safetensors", bytes(text), data.draw(st.sampled_from([32, 32, 32, 24, 0, 33])))

    found = outcome(file)
    if isinstance(found, str):
        assert "\n" not in found
        return
    with suppress(SafetensorError), safe_open(file, "numpy") as handle:
        slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118
        assert {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()} == {
            name: (tensor.shape, tensor.dtype) for name, tensor in found.items()
        }
        return
    pytest.fail(f"accepted, but not by the library: {bytes(text)!r}")
