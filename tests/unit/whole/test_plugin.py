"""The suite as its users call it: exit statuses, one-line errors, selection, and what collecting costs.

Every test runs pytest in a process of its own, in the checkout, with its own configs, cache and reports.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.run.spaced_options import joined
from tests.unit.helpers.suite_runs import ROOT, clean_environment

Pytest = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def configs_dir(own_configs: Path) -> Path:
    """One model whose weights are nowhere."""
    (own_configs / "Good-1B.yaml").write_text("model: org/Good-1B\n")
    return own_configs


@pytest.fixture
def suite(tmp_path: Path, configs_dir: Path) -> Pytest:
    """Runs pytest on the conformance tests."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pytest", "-o", f"model_configs={configs_dir}"]
        command += ["-o", f"reports={tmp_path / 'reports'}", "-p", "no:cacheprovider", *words]
        environment = clean_environment(
            NPU_CONFORMANCE_CACHE=str(tmp_path / "cache"),
            MODELSCOPE_CACHE=str(tmp_path / "modelscope"),
            HF_HUB_CACHE=str(tmp_path / "hf"),
        )
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    return run


def one_line_error(result: "subprocess.CompletedProcess[str]") -> str:
    """The error of a run that was refused: one line, exit status 4, no traceback, no engine."""
    assert result.returncode == 4, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("ERROR: ")]
    assert len(lines) == 1
    return lines[0]


def test_missing_weights_skip_with_the_reason(suite: Pytest) -> None:
    """Exit status 0, and the reason says what to do."""
    result = suite("-k", "Good")

    assert result.returncode == 0
    assert f"{2 * len(CHECKS)} skipped" in result.stdout
    assert "no weights of org/Good-1B: looked under" in result.stdout
    assert "--twin" in result.stdout


def test_missing_weights_can_be_required(suite: Pytest) -> None:
    """Exit status 4, for CI."""
    assert "no weights of org/Good-1B" in one_line_error(suite("-k", "Good", "--require-weights"))


def test_a_model_without_a_twin_skips(suite: Pytest) -> None:
    """It does not run another model in its place."""
    result = suite("--twin", "-k", "Good")

    assert result.returncode == 0
    assert "Good-1B has no twin" in result.stdout


def test_a_bad_config_among_those_selected_is_one_line(suite: Pytest, configs_dir: Path) -> None:
    """Exit status 4 before anything starts; `test_check.py` has what is said of which mistake."""
    (configs_dir / "Bad-1B.yaml").write_text("model: org/Bad\nserve: {trust_remote_code: true}\n")

    assert "add --trust-remote-code if you trust that code" in one_line_error(suite())


def test_a_bad_config_that_is_not_selected_is_a_warning(suite: Pytest, configs_dir: Path) -> None:
    """In one line, on pytest-xdist's workers too; the others run."""
    (configs_dir / "Bad-1B.yaml").write_text("model: org/Bad\n" + "a: " + "[" * 5000)
    (configs_dir / "Bad name.yaml").write_text("model: org/Bad\n")
    for words in ((), ("-n", "1")):
        result = suite("-k", "Good", *words)
        warnings = [line for line in result.stdout.splitlines() if line.startswith("WARNING: ")]

        assert result.returncode == 0
        assert len(warnings) == 2
        assert "WARNING: Bad name: is not selected, and cannot be used: " in warnings[0]
        assert "rename the file" in warnings[0]
        assert "more than 40 lists and mappings inside one another" in warnings[1]


def test_a_folder_without_configs_is_one_line(suite: Pytest, configs_dir: Path) -> None:
    """Of which there is nothing to run."""
    (configs_dir / "Good-1B.yaml").unlink()

    assert f"no model config in {configs_dir}: expected files such as" in one_line_error(suite())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models-root", "/nowhere"), "--models-root /nowhere: no such folder"),
        (("--from", "/nowhere"), "--from /nowhere: no such folder"),
        (("--reference-python", "/nowhere"), "--reference-python /nowhere: no such interpreter"),
        (("--prompts", "0"), "--prompts 0: at least 1 is needed"),
        (("--prompts", "5000"), "--prompts 5000: the sets"),
        (("-o", "model_configs=nowhere"), "no folder of model configs"),
    ],
)
def test_a_wrong_command_line_is_one_line(suite: Pytest, words: tuple[str, ...], message: str) -> None:
    """Exit status 4."""
    assert message in one_line_error(suite(*words))


def broken_model(folder: Path, damage: str) -> None:
    """A checkpoint with one thing wrong."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["A"], "vocab_size": 12 if damage == "vocabulary" else 10})
    )
    if damage != "tokenizer":
        (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    save_file({"model.embed_tokens.weight": np.zeros((10, 4), np.float16)}, folder / "model.safetensors")
    if damage == "truncated":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", "model.safetensors: truncated"),
        ("tokenizer", "no tokenizer here"),
        ("vocabulary", "config.json: vocab_size is 12"),
    ],
)
def test_a_bad_checkpoint_errors_its_model_with_one_message(
    suite: Pytest, tmp_path: Path, damage: str, message: str
) -> None:
    """No traceback, no engine; with and without a space after the option."""
    broken_model(tmp_path / "models" / "org" / "Good-1B", damage)
    result = suite("-k", "Good and base", "--models-root", str(tmp_path / "models"))

    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert f"{len(CHECKS)} errors" in result.stdout
    assert " ".join(result.stdout.split()).count(message) == 1  # wrapped as it may be
    assert "short test summary" not in result.stdout
    report = json.loads((tmp_path / "reports" / "latest" / "report.json").read_text())
    assert report["models"][0]["verdict"] == "error"
    first, *others = (check["message"] for check in report["models"][0]["checks"])
    assert message in first
    assert set(others) == {"not run: the engine did not start"}


def test_a_run_that_only_skips_leaves_the_last_report_alone(suite: Pytest, tmp_path: Path) -> None:
    """There is nothing to report."""
    suite()

    assert not (tmp_path / "reports").exists()


OWN = """
import pytest

@pytest.mark.parametrize("x", ["Good-1B-base"])
def test_labels(x):
    assert False
"""


@pytest.mark.parametrize("words", [(), ("-n", "1")])
def test_a_users_own_test_is_not_taken_for_a_check(suite: Pytest, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Though its id ends as one of the suite's, and it fails: it is pytest's alone to tell."""
    own = tmp_path / "test_own.py"
    own.write_text(OWN)
    result = suite("-p", "npu_conformance.plugin", *words, str(own))

    assert result.returncode == 1, result.stdout + result.stderr
    assert "test_own.py::test_labels[Good-1B-base]" in result.stdout
    assert "conformance ===" not in result.stdout
    assert not (tmp_path / "reports").exists()


def test_a_selection_of_nothing_says_why(suite: Pytest) -> None:
    """With the models there are, and pytest's own exit status; on pytest-xdist's workers too."""
    for words in ((), ("-n", "1")):
        result = suite("-k", "NoSuchModel", *words)

        assert result.returncode == 5
        assert "no model, variant or check has 'NoSuchModel' in its name" in " ".join(result.stdout.split())
        assert "Models: Good-1B." in result.stdout


def test_more_prompts_than_there_are_is_said_of_a_variant_too(suite: Pytest, configs_dir: Path) -> None:
    """A model whose prompts cannot be had still has its variants, so that one is selected and refused."""
    (configs_dir / "Good-1B.yaml").write_text("model: org/Good-1B\nvariants: [long_prompt]\n")
    error = one_line_error(suite("-k", "Good-1B-long_prompt", "--prompts", "300"))

    assert "--prompts 300: the sets " in error
    assert "or ask for fewer" in error


def test_a_mistake_in_the_yaml_is_said_where_its_variant_selects_nothing(suite: Pytest, configs_dir: Path) -> None:
    """Which variants there are is not known."""
    (configs_dir / "Good-1B.yaml").write_text("model: org/Good-1B\nvariants: [long_prompt]\npromts: [guard]\n")
    result = suite("-k", "Good-1B-long_prompt")

    assert result.returncode == 5
    assert "promts: unknown key; did you mean 'prompts'?" in " ".join(result.stdout.split())


def test_skips_are_counted_and_listed_on_demand(suite: Pytest) -> None:
    """Two variants of 24 checks are three lines of the summary; -rs has pytest list them."""
    short, asked = suite(), suite("-rs")

    assert "SKIPPED [" not in short.stdout
    assert len(short.stdout.splitlines()) < 25
    assert "SKIPPED [" in asked.stdout


def test_ids_begin_with_the_models_name(suite: Pytest) -> None:
    """So that -k NAME selects a model."""
    result = suite("--collect-only", "-q", "-k", "Good-1B-base and token_agreement")

    assert "test_token_agreement[Good-1B-base]" in result.stdout
    assert f"1/{2 * len(CHECKS)} tests collected" in result.stdout


@pytest.mark.parametrize(
    ("words", "model"),
    [
        ("Qwen3Guard", "Qwen3Guard-Gen-4B"),
        ("Condenser", "Qwen3.5-4B-Condenser"),
        ("FP8", "Qwen3-4B-FP8"),
        ("GPTQ", "Qwen3-1.7B-GPTQ-Int8-FP16"),
        ("BitCPM4", "BitCPM4-CANN-1B"),
    ],
)
def test_a_models_name_selects_its_checks_and_no_other(words: str, model: str) -> None:
    """What people will type."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--twin", "-k", words]
    result = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    found = [line for line in result.stdout.splitlines() if "::" in line]

    assert len(found) >= 2 * len(CHECKS)
    assert all(f"[{model}-" in line for line in found)


def test_collecting_imports_no_torch(tmp_path: Path) -> None:
    """Nor vllm, nor transformers: what is collected is names."""
    code = (
        "import sys, pytest\n"
        "status = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider'])\n"
        "loaded = sorted({'torch', 'vllm', 'transformers', 'scipy.stats', 'matplotlib'} & set(sys.modules))\n"
        "print('LOADED', loaded)\nsys.exit(status)"
    )
    environment = clean_environment(NPU_CONFORMANCE_CACHE=str(tmp_path))
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert result.returncode == 0, result.stdout
    assert "LOADED []" in result.stdout


def test_path_options_may_be_written_with_a_space() -> None:
    """They are joined before pytest takes their value for a test path."""
    words = ["--models-root", "/m", "-k", "x", "--from", "/f", "--prompts", "3", "--candidate-weights=/c"]

    assert joined(words) == ["--models-root=/m", "-k", "x", "--from=/f", "--prompts", "3", "--candidate-weights=/c"]
    assert joined(["tests/unit", "-q"]) == ["tests/unit", "-q"]
