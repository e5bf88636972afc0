"""`requirements/torchvision_on_cpu.py`, with stand-ins for torch and torchvision."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.helpers.suite_runs import ROOT

TORCH = """
class Library:
    def __init__(self, *words): pass
    def define(self, schema): print("declared", schema.partition("(")[0])
"""


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.28.0", ["declared nms", "declared qnms"]),
        ("0.28.0+cu130", ["declared nms", "declared qnms"]),
        ("0.28.0+cpu", []),
    ],
)
def test_operators_are_declared_for_a_build_that_cannot_load_its_own(
    tmp_path: Path, version: str, expected: list[str]
) -> None:
    """One for the CPU, as PyTorch's own index has it, declares them itself, and torch takes none twice."""
    for name, text in {
        "torch/__init__.py": "from torch import library",
        "torch/library.py": TORCH,
        "torchvision/__init__.py": "",
        "torchvision.dist-info/METADATA": f"Metadata-Version: 2.1\nName: torchvision\nVersion: {version}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path), str(ROOT / "requirements")]
    code = f"import sys; sys.path[:0] = {paths}; import torchvision_on_cpu, torchvision"

    command = [sys.executable, "-I", "-S", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout.splitlines() == expected
