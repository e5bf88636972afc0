"""A model of real size on a CPU, by the three lines of YAML that the README promises to be enough."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from npu_conformance.checks import CHECKS
from tests.unit.helpers.suite_runs import ROOT, judge

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NAME = "Qwen3-0.6B-shaped"
# What a random model cannot: answer a question. Its config says nothing of formats or labels, and it has no LoRA.
UNANSWERABLE = {"expected_substrings"}


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied afterwards: pytest keeps its last three, and this would be 20 GB each time."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def taken(folder: Path) -> float:
    """GB that a folder's files take, linked ones once."""
    files = {(one.stat().st_ino, one.stat().st_size) for one in folder.rglob("*") if one.is_file()}
    return sum(size for _, size in files) / 1e9


def test_a_model_of_real_size_is_judged_by_three_lines(roomy: Path) -> None:
    """Two engines, one after the other, find memory; every check comes to a verdict, and none is an error."""
    models, configs = roomy / "models", roomy / "configs"
    configs.mkdir()
    subprocess.run([sys.executable, "-m", "bench.checkpoint", str(models), str(configs)], cwd=ROOT, check=True)
    assert len((configs / f"{NAME}.yaml").read_text().splitlines()) == 3
    words = ("-o", f"model_configs={configs}", "--models-root", str(models), "-k", NAME)
    found = judge(roomy / "reports", *words, VLLM_CPU_KVCACHE_SPACE="", NPU_CONFORMANCE_CACHE=str(roomy / "cache"))

    checks = found.model(NAME)["checks"]
    assert {(check["variant"], check["check"]) for check in checks} >= {
        (variant, check) for variant in ("base", "as_served") for check in CHECKS
    }
    assert [check for check in checks if check["verdict"] in ("error", "skipped")] == []
    assert found.failing(NAME) <= UNANSWERABLE, found.output
    assert "reports/" in found.output
    passed = {name for name, verdicts in found.verdicts(NAME).items() if "pass" in verdicts}
    assert {
        "token_agreement",
        "logits_closeness",
        "hidden_states",
        "greedy_determinism",
        "checkpoint_weights",
    } <= passed
    # Rows of base, decode and prefill, and of its reference, which the cache has too.
    assert 1 < taken(roomy / "reports") < 4
    assert 1 < taken(roomy / "cache" / "references") < 3
