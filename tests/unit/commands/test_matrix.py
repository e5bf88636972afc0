"""`npu-conformance dev matrix`: a job a model, on a runner with NPUs enough, selecting that model's tests alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands.plan.matrix import selected
from npu_conformance.config.model import config_names, load_config
from npu_conformance.errors import ConfigError
from tests.unit.helpers.suite_runs import ROOT, clean_environment

NAMES = ["BitCPM4-CANN-1B", "Qwen3-4B-FP8", "Qwen3.5-4B-Condenser", "Qwen3Guard-Gen-4B"]


def entries(capsys: pytest.CaptureFixture[str], configs: Path, *words: str) -> dict[str, dict[str, Any]]:
    """The matrix that the command prints, by model."""
    assert main(["dev", "matrix", "--configs", str(configs), *words]) == 0
    (line,) = capsys.readouterr().out.splitlines()  # $GITHUB_OUTPUT takes a value of one line
    return {entry["model"]: entry for entry in json.loads(line)["include"]}


def test_every_config_has_its_job(capsys: pytest.CaptureFixture[str], configs: Path) -> None:
    """On a runner with the NPUs of its widest variant."""
    found = entries(capsys, configs)

    assert list(found) == config_names(configs)
    assert {name: entry["npus"] for name, entry in found.items()} == {
        "BitCPM4-CANN-1B": 2,
        "Qwen1.5-MoE-A2.7B-Chat": 2,
        "Qwen3-1.7B-GPTQ-Int8-FP16": 2,
        "Qwen3-4B-FP8": 4,
        "Qwen3-8B-W8A8": 1,
        "Qwen3.5-4B-Condenser": 2,
        "Qwen3Guard-Gen-4B": 2,
    }
    assert all(entry["runner"] == f"linux-aarch64-a2b3-{entry['npus']}" for entry in found.values())


@pytest.mark.parametrize(
    ("text", "npus"),
    [
        ("serve: {tensor_parallel_size: 3}", 4),  # there is no runner with three
        ("serve: {tensor_parallel_size: 8}", 8),
        ("variants: [dp2]", 1),  # runs nowhere
        ("variants: [tp2, {name: tp16, options: {tensor_parallel_size: 16}}]", 2),  # no runner is so large
        ("serve: {tensor_parallel_size: 16}", 8),  # pytest will say so there
        ("variants: [{name: grid, options: {tensor_parallel_size: 2, pipeline_parallel_size: 2}}]", 4),
        ("variants: [ep, weight_nz_off]", 2),
    ],
)
def test_the_smallest_runner_that_is_enough(
    capsys: pytest.CaptureFixture[str], own_configs: Path, text: str, npus: int
) -> None:
    """By the variants that an NPU would run."""
    (own_configs / "Model.yaml").write_text(f"model: org/Model\n{text}\n")

    assert entries(capsys, own_configs)["Model"]["npus"] == npus


def test_a_bad_config_has_a_job_that_will_say_so(own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It must not cost the others their night."""
    (own_configs / "Good.yaml").write_text("model: org/Good\n")
    (own_configs / "Bad.yaml").write_text("model: org/Bad\npromts: [guard]\n")

    assert main(["dev", "matrix", "--configs", str(own_configs)]) == 0

    printed = capsys.readouterr()
    assert [entry["model"] for entry in json.loads(printed.out)["include"]] == ["Bad", "Good"]
    assert "Bad.yaml: promts: unknown key" in printed.err


def test_a_model_that_brings_code_waits_to_be_trusted(own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its job would be refused every night; which model is left out is said."""
    (own_configs / "Plain.yaml").write_text("model: org/Plain\n")
    (own_configs / "Coded.yaml").write_text("model: org/Coded\nserve: {trust_remote_code: true}\n")

    assert list(entries(capsys, own_configs, "--trust-remote-code")) == ["Coded", "Plain"]
    assert main(["dev", "matrix", "--configs", str(own_configs)]) == 0

    printed = capsys.readouterr()
    assert [entry["model"] for entry in json.loads(printed.out)["include"]] == ["Plain"]
    assert printed.err.startswith(f"WARNING: {own_configs / 'Coded.yaml'}: serve.trust_remote_code: left out")


def test_a_matrix_of_none_but_those_is_refused(own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub does not say why it takes no empty one."""
    (own_configs / "Plain.yaml").write_text("model: org/Plain\n")
    (own_configs / "Coded.yaml").write_text("model: org/Coded\nserve: {trust_remote_code: true}\n")

    assert main(["dev", "matrix", "--configs", str(own_configs), "--filter", "Coded"]) == 4

    printed = capsys.readouterr()
    assert not printed.out
    assert "ERROR: nothing is left of Coded: add --trust-remote-code" in printed.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", NAMES),
        ("qwen3guard", NAMES[3:]),
        ("BitCPM4 or Guard", [NAMES[0], NAMES[3]]),
        ("Qwen3 and 4B and not Guard", NAMES[1:3]),
        ("not Qwen3", NAMES[:1]),
        ("Qwen3.5-4B", NAMES[2:3]),
    ],
)
def test_a_filter_is_parts_of_names(words: str, expected: list[str]) -> None:
    """Parts of names, in any case, joined by or, and, not."""
    assert selected(NAMES, words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Llama", "selects no model (models: BitCPM4"),
        ("Qwen3 or or", "expected parts of models' names"),
        ("(Qwen3 or BitCPM4) and 4B", "expected parts of models' names"),
        ("BitCPM4; rm -rf /", "expected parts of models' names"),
        ("BitCPM4 Guard", "expected parts of models' names"),
    ],
)
def test_a_wrong_filter_is_refused(words: str, message: str) -> None:
    """An empty matrix would be a night in which nothing was judged."""
    with pytest.raises(ConfigError) as error:
        selected(NAMES, words)

    assert message in str(error.value)


def test_a_wrong_filter_is_exit_status_4(capsys: pytest.CaptureFixture[str], configs: Path) -> None:
    """One line, nothing on standard output that a workflow could take for a matrix."""
    assert main(["dev", "matrix", "--configs", str(configs), "--filter", "Llama"]) == 4
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith("ERROR: --filter 'Llama'")


def test_a_job_selects_its_own_model_alone(capsys: pytest.CaptureFixture[str], own_configs: Path) -> None:
    """Where a name is the beginning or the end of another's, `-k NAME` would run both."""
    for name in ("Model-1B", "Model-1B-FP8", "My-Model-1B", "Model-1B-base"):
        (own_configs / f"{name}.yaml").write_text("model: org/Model\nvariants: [graph]\n")
    words = entries(capsys, own_configs)["Model-1B"]["select"]

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "-k", words]
    command += ["-o", f"model_configs={own_configs}", "tests/conformance"]
    result = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=120)

    found = {line.partition("::")[2] for line in result.stdout.splitlines() if "::test_drift" in line}
    assert found == {f"test_drift[Model-1B-{variant}]" for variant in ("base", "as_served", "graph")}


def test_a_name_that_cannot_be_selected_gets_no_job(capsys: pytest.CaptureFixture[str], own_configs: Path) -> None:
    """Its `-k` would select nothing, or all; another bad config's job fails by itself."""
    for name, text in (("Good", "model: a/b"), ("my model", "model: a/b"), ("Bad", "- a")):
        (own_configs / f"{name}.yaml").write_text(text)

    assert main(["dev", "matrix", "--configs", str(own_configs)]) == 0
    printed = capsys.readouterr()
    assert [entry["model"] for entry in json.loads(printed.out)["include"]] == ["Bad", "Good"]
    assert "WARNING: " in printed.err
    assert "my model.yaml: the file's name is the model's" in printed.err


def test_jobs_select_all_variants(capsys: pytest.CaptureFixture[str], configs: Path) -> None:
    """None is left out of a night."""
    for name, entry in entries(capsys, configs).items():
        variants = load_config(configs / f"{name}.yaml").variant_names
        assert entry["select"].split(" or ") == [f"[{name}-{variant}]" for variant in variants]


def test_torch_is_not_imported() -> None:
    """The machine that makes the matrix has none."""
    code = "import sys; from npu_conformance.__main__ import main; main(['dev', 'matrix']); "
    code += "sys.exit('torch' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), capture_output=True)

    assert result.returncode == 0, result.stderr
