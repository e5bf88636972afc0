"""`npu-conformance run` and `init`: pytest in a folder of one's own, without a checkout."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from npu_conformance.__main__ import main
from tests.unit.helpers.suite_runs import ROOT, clean_environment

OURS = [sys.executable, "-m", "npu_conformance"]
WHOLE = "Qwen3Guard-Gen-4B"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder as `init` lays it down."""
    assert main(["init", str(tmp_path / "own")]) == 0
    return tmp_path / "own"


def said(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a command says in a folder."""
    told = clean_environment(PYTHONPATH=str(ROOT / "src"), HF_HUB_OFFLINE="1", **environment)
    return subprocess.run(words, cwd=folder, env=told, capture_output=True, text=True, timeout=300, check=False)


def listed(folder: Path, *words: str) -> tuple[int, list[str]]:
    """Exit status, and the ids of a property's tests that are selected."""
    found = said(folder, *words, "--collect-only", "-q", "-p", "no:cacheprovider")
    assert found.returncode in (0, 4, 5), found.stdout + found.stderr
    assert "Warning" not in found.stdout
    return found.returncode, re.findall(r"::test_drift\[(.+)\]", found.stdout)


def test_run_and_pytest_select_the_same(own: Path) -> None:
    """In a folder of one's own, with the suite's tests."""
    everything = [f"{WHOLE}-{variant}" for variant in ("base", "as_served", "graph", "prefix_caching")]
    for words in (
        [*OURS, "run", "--twin"],
        [*OURS, "run", "--twin", WHOLE],
        [*OURS, "run", WHOLE, "--twin"],
        [*OURS, "run", "model_configs", "--prompts", "8"],
        [*OURS, "run", "--prompts", "8", f"model_configs/{WHOLE}.yaml"],
        [sys.executable, "-m", "pytest", "--twin", "-k", "Qwen3Guard"],
    ):
        assert listed(own, *words) == (0, everything)
    assert listed(own, *OURS, "run", WHOLE, "-k", "graph") == (0, [f"{WHOLE}-graph"])
    assert listed(own, *OURS, "run", WHOLE, "-k", "no_such") == (5, [])


def test_a_model_is_that_model_alone(own: Path) -> None:
    """Where names begin alike; also from elsewhere, by its file, and where the other's config is bad."""
    (own / "model_configs" / "Qwen3Guard-Gen-4B-FP8.yaml").write_text("model: a/b\n")
    (own / "model_configs" / "My-Qwen3Guard-Gen-4B.yaml").write_text("mdoel: a/b\n")
    elsewhere = own / "elsewhere"
    elsewhere.mkdir()
    for folder, target in ((own, WHOLE), (elsewhere, f"../model_configs/{WHOLE}.yaml")):
        status, found = listed(folder, *OURS, "run", target)
        assert (status, {name.rpartition("-")[0] for name in found}) == (0, {WHOLE})
    assert listed(elsewhere, *OURS, "run", WHOLE, "-o", "model_configs=../model_configs")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Qwen3Gard-Gen-4B"], "Qwen3Gard-Gen-4B: is no model of model_configs (there: "),
        (["--durations", "5", WHOLE], "write an option's value as --option=VALUE"),
        (["--bogus", WHOLE], "unrecognized arguments: --bogus"),
        (["--candidate", "tensorflow"], "invalid choice: 'tensorflow'"),
        (["model_configs/None.yaml"], "no config of this name"),
        (["--prompts", "0"], "--prompts 0: at least 1 is needed"),
    ],
)
def test_a_mistake_has_pytests_exit_status(own: Path, words: list[str], told: str) -> None:
    """4, and a line that says what."""
    found = said(own, *OURS, "run", *words)
    assert found.returncode == 4
    assert told in found.stderr


def test_a_folder_without_configs_says_how_to_make_one(tmp_path: Path) -> None:
    """In an empty folder."""
    found = said(tmp_path, *OURS, "run")
    assert found.returncode == 4
    assert "npu-conformance init DIR" in found.stderr


def test_init_overwrites_nothing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not one file is written where one of them is there."""
    for path in own.rglob("*"):
        if path.is_file() and path.name != "pytest.ini":
            path.unlink()
    (own / "pytest.ini").write_text("mine")
    capsys.readouterr()

    assert main(["init", str(own)]) == 4
    assert capsys.readouterr().err == (
        f"ERROR: {own}/pytest.ini: already there, and no file is overwritten: name another folder\n"
    )
    assert [path.name for path in own.rglob("*") if path.is_file()] == ["pytest.ini"]
    assert (own / "pytest.ini").read_text() == "mine"


def test_what_init_lays_down_is_right(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The config, and its prompt set when it is taken."""
    path = own / "model_configs" / f"{WHOLE}.yaml"
    path.write_text(path.read_text().replace("# - own", "- own"))
    capsys.readouterr()

    assert "\ntorchvision==" in (ROOT / "requirements" / "cpu.txt").read_text()
    lock = (own / "requirements-cpu.txt").read_text()
    assert "\ntorch==" in lock
    assert "\ntorchvision==" not in lock  # transformers could import no model beside it
    assert main(["check", "--configs", str(path.parent)]) == 0
    assert capsys.readouterr().out == f"{WHOLE}: 60 prompts, limits of bfloat16, twin qwen3-guard\n"


def test_help_and_collecting_import_no_torch(own: Path) -> None:
    """They are quick, and work where there is none."""
    code = "import sys; from npu_conformance.__main__ import main; "
    code += "status = main(); sys.exit(status or 'torch' in sys.modules)"
    for words in (["run", "--collect-only", "-q"], ["check"]):
        assert said(own, sys.executable, "-c", code, *words).returncode == 0
    code = "import sys; from npu_conformance.commands.parser import make_parser; make_parser().format_help()"
    assert said(own, sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)").returncode == 0


@pytest.mark.slow
@pytest.mark.engine
def test_a_wheel_in_an_empty_environment_judges_the_twin(tmp_path: Path) -> None:
    """Others' packages are this environment's, the suite is the wheel's: no file of the checkout is read."""
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    (site / "others.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    environment = clean_environment(HF_HUB_OFFLINE="1")
    environment.pop("PYTHONPATH", None)

    def ours(*words: str, status: int = 0) -> str:
        command = [str(python.with_name("npu-conformance")), *words]
        found = subprocess.run(
            command, cwd=tmp_path / "empty", env=environment, capture_output=True, text=True, timeout=1800, check=False
        )
        assert found.returncode == status, found.stdout + found.stderr
        return found.stdout

    (tmp_path / "empty").mkdir()
    ours("init", ".")
    told = ours("run", "--twin", WHOLE)
    assert f"{WHOLE} (twin): PASS" in told
    assert (tmp_path / "empty" / "reports" / "latest" / "report.md").is_file()
    again = ours("run", "--twin", WHOLE, "--from", os.path.realpath(tmp_path / "empty/reports/latest"), "-k", "drift")
    assert "4 passed" in again
