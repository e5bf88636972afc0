"""The scan counts packed codes of AWQ and compressed-tensors as codes, by the bits their options say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.audit.scan import scan
from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.awq_checkpoints import save_awq
from tests.unit.helpers.compressed_checkpoints import GROUP, KINDS, MODULE, save_kind
from tests.unit.helpers.published_checkpoints import ignore
from tests.unit.helpers.quantised_checkpoints import edit_config

SAVED: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "AWQ": (save_awq, "qweight", 15),
    "W4A16": (save_kind, "weight_packed", 15),
    "W8A16": (lambda folder: save_kind(folder, KINDS["W8A16 in groups"]), "weight_packed", 255),
}


@pytest.mark.parametrize(("save", "part", "greatest"), SAVED.values(), ids=SAVED)
def test_packed_codes_are_counted(tmp_path: Path, save: Callable[[Path], object], part: str, greatest: int) -> None:
    """From 0 to the greatest code, and nothing is found wrong."""
    save(tmp_path / "source")

    found = scan(examine(tmp_path / "source"), ignore)

    codes = next(tensor for tensor in found.tensors if tensor.name == f"{MODULE}.{part}")
    assert (codes.of, codes.min, codes.max) == ("codes", 0, greatest)
    assert found.findings == ()


@pytest.mark.parametrize("targets", [["re:("], ["other"]])
def test_codes_of_unknown_bits_are_not_counted(tmp_path: Path, targets: list[str]) -> None:
    """What they are is not guessed; inspection names the options."""
    folder, _ = save_kind(tmp_path / "source")
    group = GROUP.config["config_groups"]["group_0"] | {"targets": targets}
    edit_config(folder, quantization_config=GROUP.config | {"config_groups": {"group_0": group}})

    found = scan(examine(folder), ignore)

    assert f"{MODULE}.weight_packed" not in {tensor.name for tensor in found.tensors}
