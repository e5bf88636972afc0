"""Logs of engines that live: each warning recognised by its line as it was met, in time that grows with the log."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.machine.storage import LOG_VARIABLE
from npu_conformance.report.words.log import LOG
from npu_conformance.workers.known_failures import KNOWN
from npu_conformance.workers.log import WARNINGS, EngineLog, log_length, log_since, read_log
from tests.unit.helpers.failures_met import HEALTHY
from tools.known_failures import PAGE, page

LISTED = "is not in the model's supported LoRA target modules [conv1d, down_proj, in_proj_ba, o_proj]. These"
REGARDING = "Regarding Qwen3_5ForConditionalGeneration, no matching PunicaWrapper is found; "
# As they stand in the sources that the table names.
MET = {
    "weights skipped": [
        "Parameter layers.3.mlp.shared_expert_gate.weight_packed not found in params_dict, skip loading",
        "Parameter fc.weight not found in params_dict, skip loading",
    ],
    "weights made up": [
        "Following weights were not loaded from checkpoint: {'lm_head.weight'}",
        "Some weights of Qwen3ForCausalLM were not initialized from the model checkpoint at /m and are newly",
        "model.layers.{0...3}.mlp.gate.weight | MISSING    | ",
    ],
    "LoRA left out": [
        f"LoRA module 'model.layers.0.mlp.experts.base_layer' in adapter '/lora' {LISTED}",
        f"{REGARDING}language_model.model.layers.0.mlp.down_proj will be ignored.",
    ],
    "LoRA of a merged layer": [
        f"LoRA module 'language_model.model.layers.0.linear_attn.in_proj_a' in adapter '/lora' {LISTED}"
    ],
    "LoRA of a tower": [f"{REGARDING}visual.merger.linear_fc2 will be ignored."],
    "LoRA restricted": [
        "LoRA module 'model.layers.0.mlp.o' in adapter '/lora' is not in the deployment-time target_modules "
        "restriction [q_proj]. These parameters will be ignored.",
        "LoRA target module model.layers.0.mlp (X) matched the deployment configuration but could not be wrapped by "
        "any LoRA layer implementation. It will be ignored.",
    ],
    "KV scales of 1": ["Using KV cache scaling factor 1.0 for fp8_e4m3. If this is unintended, verify that k/v_scale "],
    "KV scales left out": [
        "Found k_scale in the checkpoint (e.g. model.layers.0.self_attn.k_scale), but not found the expected name in "
        "the model (e.g. model.layers.0.self_attn.attn.k_scale). k_scale is not loaded."
    ],
    "tokenizer's pattern": [
        "The tokenizer you are loading from '/m' with an incorrect regex pattern: https://huggingface"
    ],
    "transformers' implementation": [
        "XForCausalLM has no vLLM implementation, falling back to Transformers implementation."
    ],
    "loaded as float": [
        'No quantization signature detected from model files for "/m". The model will be loaded as float. To force a '
    ],
    "other quantisation": [
        "Auto-detected quantization method 'ascend' from model files for '/m', but user explicitly specified '--quanti"
    ],
    "layers not quantised": [
        "Acceleration for non-quantized schemes is not supported by Compressed Tensors. Falling back to "
        "UnquantizedLinearMethod"
    ],
    "no graph mode": ["FULL_AND_PIECEWISE cudagraph_mode is not support on NPU. falling back to NONE"],
    "no Triton": ["[sample/sampler] Triton not available, falling back to vLLM default penalty implementation."],
    "no group of experts": [
        "[vllm-ascend/W8A8_DYNAMIC] MC2 group metadata unavailable, falling back to empty moe_all_to_all_group_name."
    ],
    "operator on the CPU": [
        "Warning: CAUTION: The operator 'aten::isin' is not currently supported on the NPU backend and will fall back "
        "to run on the CPU. This may have performance implications. (function npu_cpu_fallback)"
    ],
    "double as float": ["Warning: Device do not support double dtype now, dtype cast replace with float. (function "],
    "oneDNN": ["Failed to create oneDNN linear, fallback to torch linear. Exception: could not create a primitive "],
}
LINES = [(name, line) for name, lines in MET.items() for line in lines]
PREFIX = "\x1b[33m(EngineCore_DP0 pid=18650) WARNING 08-25 04:33:08 [weight_utils.py:700] "


def test_every_warning_was_met_and_has_chinese_words() -> None:
    """A row without its line is a guess."""
    assert set(MET) == set(WARNINGS) == set(LOG)
    assert all(one.meaning and one.remedy and one.source for one in WARNINGS.values())


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{name}-{place}" for place, (name, _) in enumerate(LINES)])
def test_a_line_is_recognised(tmp_path: Path, name: str, line: str) -> None:
    """By its own row, counted, shown without what vLLM writes in front."""
    log = tmp_path / "log.txt"
    log.write_text(f"INFO 08-25 04:33:08 [a.py:1] Starting\n{PREFIX}{line}\n{PREFIX}{line}\nend\n")

    (found,) = read_log(log).findings

    assert (found.name, found.times, found.line) == (name, 2, line.strip())


@pytest.mark.parametrize(
    "line",
    [
        "Parameter model.rotary_emb.inv_freq not found in params_dict, skip loading",
        "Parameter model.mtp.fc.weight not found in params_dict, skip loading",
        "optimizations settings that are only active during inductor compilation will be ignored.",
        "CPU backend doesn't allow to use `torch.set_num_threads` after the thread binding, skip it.",
        "`chunk_gated_delta_rule` is falling back to its reference PyTorch implementation because `flash-linear-atten",
    ],
)
def test_what_every_run_writes_means_nothing(tmp_path: Path, line: str) -> None:
    """Buffers that are computed, draft layers that are not used, remarks on speed."""
    (tmp_path / "log.txt").write_text(line + "\n")

    assert read_log(tmp_path / "log.txt").findings == ()


def test_a_healthy_log_fails_nothing(tmp_path: Path) -> None:
    """What an NPU's engine always writes is told at most."""
    (tmp_path / "log.txt").write_text(HEALTHY)

    assert not [one for one in read_log(tmp_path / "log.txt").findings if WARNINGS[one.name].fails]


def test_a_worker_reads_its_own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the log that it shares with the jobs before it; without one it says nothing."""
    log = tmp_path / "log.txt"
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    assert (log_length(), log_since(0)) == (0, {})

    monkeypatch.setenv(LOG_VARIABLE, str(log))
    log.write_text(f"{MET['weights skipped'][0]}\n")
    start = log_length()
    with log.open("a") as file:
        file.write(f"one\n{MET['KV scales of 1'][0]}\n")
    told = EngineLog.model_validate(json.loads(json.dumps(log_since(start)["log"])))
    assert (told.lines, [one.name for one in told.findings]) == (2, ["KV scales of 1"])


def test_a_huge_log_is_read_in_bounded_time(tmp_path: Path) -> None:
    """Its beginning, where weights are loaded; lines that almost fit take no longer than others."""
    log = tmp_path / "log.txt"
    near = "Parameter Found in the checkpoint (e.g. LoRA module 'a' but not found the expected name in the model "
    with log.open("w") as file:
        file.write(f"{MET['weights skipped'][0]}\n")
        for _ in range(40):
            file.write(near * 10_000 + "\n")
    started = time.monotonic()

    told = read_log(log)

    assert time.monotonic() - started < 10
    assert not told.whole
    assert [one.name for one in told.findings] == ["weights skipped"]


TEXTS = st.text(max_size=30) | st.sampled_from(
    [text for one in WARNINGS.values() for line in one.lines for text in line]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(content=st.lists(TEXTS, max_size=8).map("".join).map(str.encode) | st.binary(max_size=200))
def test_any_log(tmp_path: Path, content: bytes) -> None:
    """Is read, and what is shown of it can be printed in a line."""
    (tmp_path / "log.txt").write_bytes(content)

    told = read_log(tmp_path / "log.txt")

    assert told.lines == content.count(b"\n")
    assert all(one.line.isprintable() and len(one.line) <= 300 for one in told.findings)


def test_the_page_is_made_of_the_tables() -> None:
    """`python -m tools.known_failures` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert all(known.meaning in page() for known in KNOWN)
