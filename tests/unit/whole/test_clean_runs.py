"""Ten clean runs, each on other prompts: a check that flags what is not there would be seen here.

A repeat of one clean run is bitwise equal on a CPU and proves nothing.
"""

import random
from pathlib import Path

import pytest
import yaml

from npu_conformance.config.prompts import SHIPPED
from tests.unit.helpers.suite_runs import judge

SETS = ("general", "chinese", "code", "maths", "long")
RUNS = 10
pytestmark = [pytest.mark.engine, pytest.mark.slow]


def dealt(folder: Path) -> None:
    """All shipped prompts, shuffled and dealt into ten sets, and a config for each; the twin knows them all."""
    prompts = []
    (folder / "prompts").mkdir()
    for path in SHIPPED.glob("*.yaml"):
        if path.stem in SETS:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))["prompts"]
            prompts += [prompt | {"id": f"{path.stem}-{prompt['id']}"} for prompt in found]
    random.Random(7).shuffle(prompts)  # noqa: S311 (no secret)
    for run in range(RUNS):
        content = {"description": "Some of all.", "chat": False, "prompts": prompts[run::RUNS]}
        path = folder / "prompts" / f"dealt{run}.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        (folder / f"Clean{run}.yaml").write_text(
            f"model: a/Clean{run}\ntwin: qwen3-guard\nserve: {{max_model_len: 2048}}\n"
            f"prompts: [{{set: dealt{run}, expect: false}}]\n"
            "variants: [graph, prefix_caching, chunked_prefill, preemption, fresh_engine]\n"
        )


def test_ten_clean_runs_flag_nothing(tmp_path: Path) -> None:
    """Base and five variants each: nothing fails, nothing is in error, and every run judged something."""
    configs = tmp_path / "configs"
    configs.mkdir()
    dealt(configs)
    found = judge(tmp_path / "reports", "-o", f"model_configs={configs}", "--twin", "-k", "not as_served")
    flagged = [
        (model["name"], check["variant"], check["metric"], check["where"])
        for model in found.report["models"]
        for check in model["checks"]
        if check["verdict"] in ("fail", "error")
    ]

    assert flagged == []
    assert [model["name"] for model in found.report["models"]] == [f"Clean{run}" for run in range(RUNS)]
    assert all(variant["positions"] > 0 for model in found.report["models"] for variant in model["variants"])
    assert found.status == 0, found.output
