"""`pytest --conformance-plan` as its users run it: it shows the plan and starts, loads and writes nothing."""

import sys
from pathlib import Path
from subprocess import CompletedProcess, run

from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.suite_runs import MODEL, ROOT, clean_environment, command

# What a process that only shows a plan must not do, or hold at its end.
WATCHED = """
import subprocess, sys, pytest

def refuse(*words, **_):
    raise AssertionError(f"started {words}")

subprocess.Popen.__init__ = refuse
status = pytest.main(sys.argv[1:])
print('LOADED', sorted({'torch', 'vllm', 'transformers'} & set(sys.modules)))
sys.exit(int(status))
"""


def planned(tmp_path: Path, *words: str) -> "CompletedProcess[str]":
    """`pytest --conformance-plan` in a process of its own, with its cache, reports and pytest's cache not there."""
    options = [word for word in command(tmp_path / "reports", *words)[3:] if word not in ("-p", "no:cacheprovider")]
    return run(
        [sys.executable, "-c", WATCHED, "-o", f"cache_dir={tmp_path / 'pytest'}", "--conformance-plan", *options],
        cwd=ROOT,
        env=clean_environment(NPU_CONFORMANCE_CACHE=str(tmp_path / "cache")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_shows_the_plan_and_starts_and_writes_nothing(tmp_path: Path, configs: Path) -> None:
    """Exit status 0, no torch, no process, no folder; the engine starts of the selected variants that can run."""
    result = planned(tmp_path, "--twin", "-k", MODEL)
    own = Session(Settings(configs=configs, twin=True), tmp_path / "none", Narrator())
    starts = sum(own.why_not(MODEL, variant) is None for variant in own.variants(MODEL))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "conformance plan" in result.stdout
    assert f"in all: {starts} engine starts, " in result.stdout
    assert "1 twin to build" in result.stdout
    assert "LOADED []" in result.stdout
    assert "collected" in result.stdout.splitlines()[-2]
    assert list(tmp_path.iterdir()) == []


def test_a_bad_config_is_one_line_with_the_option_too(tmp_path: Path, own_configs: Path) -> None:
    """Exit status 4 and no plan."""
    (own_configs / "Bad-1B.yaml").write_text("model: org/Bad\npromts: [guard]\n")
    result = planned(tmp_path, "-o", f"model_configs={own_configs}")

    assert result.returncode == 4
    assert "promts: unknown key; did you mean 'prompts'?" in result.stderr
    assert "conformance plan" not in result.stdout


def test_workers_of_xdist_are_refused(tmp_path: Path) -> None:
    """They would be started only to collect."""
    result = planned(tmp_path, "-n", "2")

    assert result.returncode == 4
    assert "ERROR: --conformance-plan: pytest-xdist would start its workers: leave out -n" in result.stderr
    assert list(tmp_path.iterdir()) == []
