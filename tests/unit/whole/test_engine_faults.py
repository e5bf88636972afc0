"""Real faults inside a real engine, through vLLM's own plugins: caught by the check of the mode they hide in.

`engine_faults/` patches vLLM in its processes; this suite, its comparison and its reference know nothing of it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.helpers.suite_runs import ROOT, Outcome, clean_environment, judge

PLUGIN = Path(__file__).parent / "engine_faults"
LAYER = 2
"""The layer at fault, counted from 0: the third."""
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures("twin")]


class Fault(NamedTuple):
    """A fault of `engine_faults`, and what must be said of it."""

    variants: str
    """Those judged besides base."""
    failing: dict[str, str]
    """By variant, the check that must fail there."""
    step: int | None
    """The first step of an answer that is wrong; None where all are, by too little to be told from rounding."""
    features: str
    """What bisect must end at."""


CLOSENESS = "variant_closeness"
FAULTS = {
    "graph_only": Fault("graph, chunked_prefill", {"graph": CLOSENESS}, 0, "graph"),
    "decode_only": Fault("", {"base": "decode_against_prefill"}, 1, "base itself"),
    "prefix_hit": Fault("prefix_caching, chunked_prefill", {"prefix_caching": CLOSENESS}, 0, "prefix_caching"),
    "chunk_boundary": Fault("prefix_caching, chunked_prefill", {"chunked_prefill": CLOSENESS}, 0, "chunked_prefill"),
    "batch_row_2": Fault("", {"base": "batch_determinism"}, 0, "base itself"),
    "tp_rank_1": Fault("tp2, chunked_prefill", {"tp2": CLOSENESS}, 0, "tp2"),
    "layer_scaled": Fault("", {"base": "hidden_states"}, None, "base itself"),
    "noise": Fault("", {"base": "greedy_determinism"}, 0, "base itself"),
}


def environment(fault: str) -> dict[str, str]:
    """What puts a fault into every process of an engine."""
    path = os.pathsep.join([str(PLUGIN), str(ROOT / "src")])
    return {"PYTHONPATH": path, "ENGINE_FAULT": fault, "ENGINE_FAULT_LAYER": str(LAYER)}


def config(folder: Path, variants: str) -> Path:
    """A config of the Qwen3 twin with prompts long and short."""
    (folder / "Faulty.yaml").write_text(
        "model: a/Faulty\ntwin: qwen3-guard\nserve: {max_model_len: 2048}\n"
        f"prompts: [{{set: general, chat: false, expect: false}}, {{set: long, chat: false, expect: false}}]\n"
        f"variants: [{variants}]\n"
    )
    return folder


def judged(reports: Path, configs: Path, fault: str) -> Outcome:
    """Base and the fault's variants, judged."""
    words = ("-o", f"model_configs={configs}", "--twin", "-k", "Faulty and not as_served")
    return judge(reports, *words, **environment(fault))


def failing(found: Outcome) -> dict[str, set[str]]:
    """By variant, the checks that say fail."""
    told: dict[str, set[str]] = {}
    for check in found.model("Faulty")["checks"]:
        if check["verdict"] == "fail":
            told.setdefault(check["variant"], set()).add(check["check"])
    return told


def test_the_engine_with_the_plugin_and_no_fault_passes(own_configs: Path, tmp_path: Path) -> None:
    """It is the faults below that fail, not their machinery."""
    found = judged(tmp_path, config(own_configs, "prefix_caching, chunked_prefill"), "nothing")

    assert (found.status, failing(found)) == (0, {}), found.output


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_where_it_hides_and_nowhere_else(own_configs: Path, tmp_path: Path, fault: str) -> None:
    """In its variant, by the check that looks for its kind; the other variants stay green."""
    expected = FAULTS[fault]
    found = judged(tmp_path, config(own_configs, expected.variants), fault)
    told = failing(found)

    assert set(told) >= set(expected.failing), found.output
    assert all(check in told[variant] for variant, check in expected.failing.items())
    if "base" not in expected.failing:
        assert set(told) == set(expected.failing)
    message = " ".join(
        f"{check['metric']} {check['where']} {check['message']}"
        for check in found.model("Faulty")["checks"]
        if check["verdict"] == "fail"
    )
    if fault == "batch_row_2":
        assert "copies" in message
        assert "batch row 2" in message
    if fault == "decode_only":
        assert "implicate decode alone" in message
        assert "prefill_closeness" not in told["base"]


def test_a_weight_that_an_engine_left_out_is_told_by_its_own_log(own_configs: Path, tmp_path: Path) -> None:
    """And by nothing else: the engine goes on with a norm of ones, which the twin's is near to."""
    found = judged(tmp_path, config(own_configs, ""), "weight_left_out")
    (told,) = [check for check in found.model("Faulty")["checks"] if check["check"] == "engine_log"]

    assert failing(found) == {"base": {"engine_log"}}
    assert "weights were not initialized from checkpoint" in told["where"]
    assert f"model.layers.{LAYER}.input_layernorm.weight" in told["where"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [("stops_early", "ends after 3 of 48 tokens without"), ("runs_on", "tokens after the stop token")],
)
def test_an_end_that_is_not_the_model_s_fails_alone(own_configs: Path, tmp_path: Path, fault: str, told: str) -> None:
    """All logits are right, and all that is said before the end; after it nobody looks."""
    found = judged(tmp_path, config(own_configs, ""), fault)
    (check,) = [check for check in found.model("Faulty")["checks"] if check["check"] == "answer_ends"]

    assert failing(found) == {"base": {"answer_ends"}}
    assert told in check["where"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_bisect_ends_at_the_feature_the_position_and_the_layer(own_configs: Path, tmp_path: Path, fault: str) -> None:
    """With fewer engine starts than there are combinations; the states it shows differ, so the fault is one."""
    expected = FAULTS[fault]
    combination = ["prefix_caching", "chunked_prefill", "small_batches", *re.findall(r"graph|tp2", expected.variants)]
    config(
        own_configs, "prefix_caching, chunked_prefill, graph, tp2, {name: small_batches, options: {max_num_seqs: 4}}"
    )
    words = [str(Path(sys.executable).with_name("npu-conformance")), "bisect", "Faulty", "--twin"]
    words += ["--configs", str(own_configs), "--reports", str(tmp_path), "--variant", ",".join(combination)]
    result = subprocess.run(
        words, cwd=ROOT, env=clean_environment(**environment(fault)), capture_output=True, text=True, timeout=900
    )
    (path,) = tmp_path.glob("*/finding.md")
    page = path.read_text()
    starts, combinations = map(int, re.findall(r"(\d+) engine starts.* would take (\d+)", page)[0])

    assert result.returncode == 1, result.stderr
    assert f"- features: {expected.features}" in page
    place = "worst position: \\S+, " if expected.step is None else rf"first position: \S+, position {expected.step}: "
    assert re.search(f"- {place}", page)
    assert f"- layer: model.layers.{LAYER} is the first beyond" in page
    assert starts < combinations
    table = {row.split(" | ")[0]: row for row in page.splitlines() if row.startswith("| ")}
    assert "beyond" not in table[f"| model.layers.{LAYER - 1}"]
    assert "beyond" in table[f"| model.layers.{LAYER}"]
