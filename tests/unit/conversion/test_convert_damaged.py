"""Checkpoints that are damaged, or places that cannot be written: refused in one line, with nothing left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.conversion import convert as module
from npu_conformance.conversion.convert import convert
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.quantised_checkpoints import (
    DOWN,
    EMBEDDING,
    NORM,
    UP,
    edit_tensors,
    load_all,
    save_fp8,
    unwatched,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint in block FP8."""
    return save_fp8(tmp_path / "source")


def put(name: str, value: float) -> Callable[[dict[str, Any]], object]:
    """The last element of a tensor becomes something else."""
    return lambda tensors: tensors[name].view(-1)[-1:].fill_(value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(put(NORM, float("nan")), f"{NORM} holds NaN or infinity: download", id="NaN in a norm"),
        pytest.param(put(EMBEDDING, float("inf")), f"{EMBEDDING} holds NaN or infinity", id="infinity"),
        pytest.param(put(UP, float("nan")), f"{UP}: a code is NaN", id="a code"),
        pytest.param(put(f"{DOWN}_scale_inv", 0.0), f"{DOWN}: its scales are 0 to", id="a scale of zero"),
        pytest.param(put(f"{DOWN}_scale_inv", -1.0), f"{DOWN}: its scales are -1 to", id="a negative scale"),
        pytest.param(lambda tensors: tensors.pop(f"{UP}_scale_inv"), "convert it again", id="no scale"),
    ],
)
def test_damage_is_refused_and_nothing_is_left(
    source: Path,
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In any tensor, also behind shards that were written already."""
    monkeypatch.setattr(module, "_SHARD_BYTES", 3000)
    edit_tensors(source, edit)

    with pytest.raises(CheckpointError, match=message) as caught:
        convert(source, tmp_path / "out", None, unwatched)

    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_empty_tensors_are_copied(source: Path, tmp_path: Path) -> None:
    """Some models have buffers without elements."""
    import torch

    empty = {"a": torch.zeros(0, 8, dtype=torch.float16), "b": torch.zeros(0)}
    edit_tensors(source, lambda tensors: tensors.update(empty))

    convert(source, tmp_path / "out", None, unwatched)

    after = load_all(tmp_path / "out")
    assert {name: after[name].shape for name in empty} == {"a": (0, 8), "b": (0,)}
    inspect(tmp_path / "out")


@pytest.mark.parametrize("shape", [(0, 40), (40, 0)])
def test_a_quantised_weight_without_elements_is_refused(source: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    """No module has such a one."""
    import torch

    def edit(tensors: dict[str, Any]) -> None:
        tensors[UP] = torch.zeros(shape).to(torch.float8_e4m3fn)
        tensors[f"{UP}_scale_inv"] = torch.ones([-(-size // 32) for size in shape])

    edit_tensors(source, edit)

    with pytest.raises(CheckpointError, match=rf"{UP}: its shape is \[.*\], expected sizes above zero"):
        convert(source, tmp_path / "out", None, unwatched)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_one_line(
    source: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of either folder."""
    assert main(["dev", "convert", str(source), str(tmp_path / name)]) == 1
    assert main(["dev", "convert", str(tmp_path / name), str(tmp_path / "out")]) == 1

    first, second = capsys.readouterr().err.strip().splitlines()[-2:]
    assert first.startswith("ERROR: ")
    assert second.startswith("ERROR: ")


def test_a_link_to_nowhere_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    """A folder cannot take its name."""
    (tmp_path / "out").symlink_to("nowhere")

    with pytest.raises(CheckpointError, match="out: is there already and is not overwritten"):
        convert(source, tmp_path / "out", None, unwatched)


def test_a_link_into_the_source_is_inside_it(source: Path, tmp_path: Path) -> None:
    """The copy would copy itself."""
    (tmp_path / "link").symlink_to(source)

    with pytest.raises(CheckpointError, match="is inside the source"):
        convert(source, tmp_path / "link" / "out", None, unwatched)


def test_ctrl_c_is_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the status that shells give it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_shard", stop)

    assert main(["dev", "convert", str(source), str(tmp_path / "out")]) == 130

    assert capsys.readouterr().err.strip().endswith("out: interrupted: the same command goes on from here")
    assert not (tmp_path / "out").exists()
