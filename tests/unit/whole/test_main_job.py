"""The whole main job through a real vLLM on the Qwen3Guard twin, and what it says when something is broken.

One run is made and then judged again from damaged copies of its traces; only faults in weights and tokenizer need
engines of their own.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.traces.layers import save_layers
from npu_conformance.traces.rows import Rows, pack, row_digest
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.job import CandidateJob
from npu_conformance.workers.supervise import run_job
from tests.unit.helpers.saved_runs import reseal
from tests.unit.helpers.suite_runs import JUDGED_TWICE, MODEL, Outcome, judge

pytestmark = pytest.mark.engine

ENGINE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}


def test_the_main_job_passes_on_a_real_engine_and_enough_positions(main_run: Outcome) -> None:
    """Through vLLM; base eager, as_served as the YAML says; every check judged."""
    assert main_run.status == 0, main_run.output
    model = main_run.model()
    assert (model["subject"], model["verdict"]) == ("twin", "pass"), main_run.output
    assert set(main_run.verdicts()) == set(CHECKS)
    judged = {check["check"] for check in model["checks"] if check["verdict"] == "pass"}
    # Of a regression: whoever has a baseline of this twin is held against it. Servers and speed are asked for apart.
    elsewhere = {name for name, check in CHECKS.items() if not {"served", "served_adapter"}.isdisjoint(check.requires)}
    lacking = set(main_run.verdicts()) - judged - elsewhere - {"regression", "performance_regression"}
    assert lacking == {"output_format", "adapter_effect", "variant_closeness", "quantisation_cost"}
    assert {check["variant"] for check in model["checks"]} == {"base", "as_served"}
    eager = {}
    for variant in model["variants"]:
        assert variant["candidate"]["engine"] == "vllm"
        assert variant["positions"] >= 500
        assert len(variant["prompts"]) >= 40
        eager[variant["variant"]] = variant["candidate"]["effective"]["enforce_eager"]
    assert eager == {"base": True, "as_served": False}


def test_saved_traces_give_the_same_verdicts_without_an_engine(
    main_run: Outcome, main_reports: Path, tmp_path: Path
) -> None:
    """Check for check."""
    again = judge(tmp_path, "--from", str((main_reports / "latest").resolve()), "-k", JUDGED_TWICE)

    assert again.status == 0
    assert again.model()["checks"] == main_run.model()["checks"]
    assert not (tmp_path / "latest" / "logs").exists()


def edit(traces: Path, side: str, index: int, **changes: Any) -> None:
    """Change fields of an answer."""
    path = traces / side / "trace.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if "text" in changes:  # of other tokens, not another reading of them
        changes = {"decoded": changes["text"], **changes}
    content["answers"][index] |= changes
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_logits(traces: Path, index: int, change: Callable[[Rows], Rows]) -> None:
    """Replace the candidate's logits of one prompt in both of its runs."""
    rows = change(load_trace(traces / "candidate").logits(index).copy())
    stored, storage = pack(rows)
    np.save(traces / "candidate" / f"{index:04d}.npy", stored)
    edit(traces, "candidate", index, storage=storage, repeat_digests=[row_digest(row) for row in rows])


def second_bos(traces: Path) -> None:
    """The engine's own tokenisation begins with the first token twice."""
    ids = load_trace(traces / "candidate").answers[0].prompt_ids
    edit(traces, "candidate", 0, own_prompt_ids=[ids[0], *ids])


def one_nan(traces: Path) -> None:
    """In one logits row of one prompt."""

    def change(rows: Rows) -> Rows:
        rows[0, 5] = np.nan
        return rows

    edit_logits(traces, 3, change)


def wrong_tokens(traces: Path) -> None:
    """Before the end of every answer the sampler takes another token than the largest logit's."""
    for index, answer in enumerate(load_trace(traces / "candidate").answers):
        tokens = [*answer.token_ids[:-2], answer.token_ids[-2] + 7, answer.token_ids[-1]]
        edit(traces, "candidate", index, token_ids=tokens, repeat_token_ids=tokens)
        edit(traces, "reference", index, token_ids=tokens)


def scaled_logits(traces: Path) -> None:
    """By 1.05 everywhere: every token and every cosine stays."""
    for index in range(len(load_trace(traces / "candidate").answers)):
        edit_logits(traces, index, lambda rows: rows * np.float32(1.05))


def other_second_run(traces: Path) -> None:
    """One logits row of the second run differs."""
    digests = list(load_trace(traces / "candidate").answers[2].repeat_digests or ())
    edit(traces, "candidate", 2, repeat_digests=[*digests[:-1], "0" * 32])


def broken_format(traces: Path) -> None:
    """An answer is on one line, which the label pattern allows and the output format does not."""
    text = load_trace(traces / "candidate").answers[0].text
    edit(traces, "candidate", 0, text=text.replace("\n", " "))


def other_label(traces: Path) -> None:
    """An unsafe prompt is called safe."""
    text = load_trace(traces / "candidate").answers[0].text
    assert "Unsafe" in text
    edit(traces, "candidate", 0, text=text.replace("Unsafe", "Safe"))


def reversed_layer(traces: Path) -> None:
    """A layer's output in the wrong order of channels."""
    kept = load_trace(traces / "candidate").layers()
    assert kept is not None
    kept.states[:, 3] = kept.states[:, 3, ::-1]
    save_layers(traces / "candidate", kept)


def hollow_weights(traces: Path) -> None:
    """The scan had found what wrapped codes look like."""
    path = traces.parent / "scan.json"
    scan = json.loads(path.read_text(encoding="utf-8"))
    scan["findings"].append({"level": "suspicion", "about": "a.weight", "message": "nothing near zero"})
    path.write_text(json.dumps(scan), encoding="utf-8")


@pytest.mark.usefixtures("main_run")
@pytest.mark.parametrize(
    ("fault", "checks"),
    [
        (second_bos, "prompt_tokens"),
        (one_nan, "finite_logits"),
        (wrong_tokens, "token_agreement"),
        (
            scaled_logits,
            "logits_closeness decode_against_prefill error_over_floor peak_over_floor sets_over_floor signed_bias",
        ),
        (other_second_run, "greedy_determinism"),
        (broken_format, "expected_substrings"),
        (other_label, "labels"),
        (reversed_layer, "hidden_states"),
        (hollow_weights, "checkpoint_weights"),
    ],
)
def test_a_perturbed_candidate_fails_its_check_alone(
    main_reports: Path, tmp_path: Path, fault: Callable[[Path], None], checks: str
) -> None:
    """On the traces of the real run, through the real command; faults of decode alone differ from prefill too."""
    copy = tmp_path / "run"
    shutil.copytree((main_reports / "latest").resolve(), copy)
    fault(copy / "traces" / MODEL / "base")
    reseal(copy)
    found = judge(tmp_path / "reports", "-v", "--from", str(copy), "-k", f"{MODEL}-base")

    assert found.status == 1
    assert found.failing() == set(checks.split())
    for check in checks.split():
        test = f"tests/conformance/test_checks.py::test_{check}[{MODEL}-base]"
        assert f"reproduce   pytest --from={copy} '{test}'" in found.output


def copy_of(twin: Path, folder: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(twin, folder))


@pytest.mark.slow
def test_a_candidate_with_scaled_weights_fails_closeness_and_the_gates_on_size(twin: Path, tmp_path: Path) -> None:
    """The final norm 5 % too large, loaded by vLLM; what a cosine or seven first tokens would never show."""
    weights = copy_of(twin, tmp_path / "weights") / "model.safetensors"
    scale_final_norm(weights)
    found = judge(tmp_path / "reports", "--twin", "-k", f"{MODEL}-base", "--candidate-weights", str(weights.parent))

    assert found.status == 1
    gates = {"error_over_floor", "peak_over_floor", "signed_bias"}
    assert found.failing() == gates | {"logits_closeness", "prefill_closeness", "hidden_states", "checkpoint_weights"}
    metrics = {c["metric"]: c["verdict"] for c in found.model()["checks"] if c["check"] == "logits_closeness"}
    assert metrics["relative_l2_mean"] == "fail"
    assert metrics["cosine_min"] == "pass"


def scale_final_norm(weights: Path) -> None:
    """Multiply `model.norm.weight` by 1.05, in a process that has torch to read bfloat16."""
    code = (
        "import sys; from safetensors.torch import load_file, save_file\n"
        "tensors = load_file(sys.argv[1]); tensors['model.norm.weight'] *= 1.05\n"
        "save_file(tensors, sys.argv[1], metadata={'format': 'pt'})"
    )
    subprocess.run([sys.executable, "-c", code, str(weights)], check=True)


@pytest.mark.slow
def test_a_candidate_with_another_tokenizer_fails_prompt_tokens(twin: Path, tmp_path: Path) -> None:
    """A stale chat template that begins twice: the numbers agree, what users would send does not."""
    folder = copy_of(twin, tmp_path / "weights")
    template = folder / "chat_template.jinja"
    template.write_text("<|im_start|>" + template.read_text(encoding="utf-8"), encoding="utf-8")
    words = ("--twin", "-k", f"{MODEL}-base", "--prompts", "12", "--candidate-weights", str(folder))
    found = judge(tmp_path / "reports", *words)

    assert found.failing() == {"prompt_tokens", "shared_inputs"}
    (check,) = [check for check in found.model()["checks"] if check["check"] == "prompt_tokens"]
    assert "of the engine's own tokenisation" in check["where"]
    (check,) = [check for check in found.model()["checks"] if check["metric"] == "published_keys"]
    assert check["where"].startswith("tokenizer_config.json: chat_template <|im_start|><|im_start|>")


@pytest.mark.slow
@pytest.mark.usefixtures("twin")
def test_scoring_in_one_pass_is_generating(own_configs: Path, tmp_path: Path) -> None:
    """A float32 candidate that generates token by token through its cache agrees within float32's limits."""
    (own_configs / "Exact.yaml").write_text(
        "model: a/Exact\ntwin: qwen3-guard\nserve: {dtype: float32}\nprompts: [guard, long]\n"
    )
    words = ("-o", f"model_configs={own_configs}", "--twin", "--candidate", "transformers", "-k", "Exact-base")
    found = judge(tmp_path / "reports", *words)

    values = {check["metric"]: check for check in found.model("Exact")["checks"]}
    assert values["relative_l2_max"]["observed"] < 1e-4
    assert found.verdicts("Exact")["logits_closeness"] == {"pass", "shown"}
    assert values["token_agreement"]["observed"] == 1.0


@pytest.mark.slow
@pytest.mark.usefixtures("main_run")
@pytest.mark.parametrize(
    ("options", "environment"),
    [
        ({"enable_chunked_prefill": True, "max_num_batched_tokens": 64, "max_num_seqs": 16}, {}),
        ({"enable_prefix_caching": True}, {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}),
    ],
    ids=["prompts prefilled in chunks", "engine in a process of its own"],
)
def test_the_capture_survives(
    twin: Path, main_reports: Path, tmp_path: Path, options: dict[str, Any], environment: dict[str, str]
) -> None:
    """Each chunk calls the processor again for step 0, the last with the real row; processes share only files."""
    base = (main_reports / "latest" / "traces" / MODEL).resolve()
    plain = {"dtype": "bfloat16", "enforce_eager": True, "async_scheduling": False, "max_model_len": 2048}
    job = CandidateJob(
        output=tmp_path / "trace",
        engine="vllm",
        checkpoint=twin,
        rendered=base / "rendered.json",
        options=plain | options,
        max_tokens=48,
    )
    run_job(job, name="capture", workdir=tmp_path, deadline=300, environment=ENGINE | environment)
    found, expected = load_trace(tmp_path / "trace"), load_trace(base / "base" / "candidate")

    assert max(len(answer.prompt_ids) for answer in found.answers) > 3 * 64
    for index, (mine, theirs) in enumerate(zip(found.answers, expected.answers, strict=True)):
        same = next(
            (i for i, (a, b) in enumerate(zip(mine.token_ids, theirs.token_ids, strict=False)) if a != b),
            min(len(mine.token_ids), len(theirs.token_ids)),
        )
        rows, others = found.logits(index)[: same + 1], expected.logits(index)[: same + 1]
        np.testing.assert_allclose(rows, others, atol=0.5)
        assert same > 0


@pytest.mark.slow
@pytest.mark.usefixtures("twin")
def test_two_ranks_agree_with_the_reference(own_configs: Path, tmp_path: Path) -> None:
    """A variant that shards the model over processes, of which one captures."""
    (own_configs / "Sharded.yaml").write_text(
        "model: a/Sharded\ntwin: qwen3-guard\nvariants: [tp2]\nserve: {max_model_len: 2048}\nprompts: [guard, long]\n"
    )
    words = ("-o", f"model_configs={own_configs}", "--twin", "-k", "Sharded-tp2")
    found = judge(tmp_path / "reports", *words)

    assert found.status == 0, found.output
    (variant,) = found.model("Sharded")["variants"]
    assert variant["candidate"]["effective"]["tensor_parallel_size"] == 2
