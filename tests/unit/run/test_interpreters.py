"""The interpreter of a reference: when another one is needed, and one that was made."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from npu_conformance.errors import PlanError
from npu_conformance.run import interpreters
from npu_conformance.run.interpreters import installed, interpreter_for, make_interpreter


def test_a_class_that_transformers_here_has_needs_no_other() -> None:
    """By its own tables, read and not imported."""
    assert installed().knows("qwen3")
    assert interpreter_for("qwen3", None) is None


@pytest.mark.usefixtures("cache")
def test_an_unknown_class_says_what_to_do() -> None:
    """The version that is too old, the class, and the command."""
    with pytest.raises(PlanError, match=r"no transformers here \(\d\S+\) knows model_type 'qwen9'.*reference-python"):
        interpreter_for("qwen9", None)


@pytest.mark.usefixtures("cache")
def test_a_checkpoint_with_code_of_its_own_needs_no_other() -> None:
    """No transformers needs to know it."""
    assert interpreter_for("qwen9", None, own_code=True) is None


def test_the_chosen_one_is_taken() -> None:
    """Whatever transformers here knows."""
    assert interpreter_for("qwen3", Path("/other/python")) == Path("/other/python")


@pytest.mark.usefixtures("cache")
def test_one_that_was_made_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the newer package, and all else from here."""
    monkeypatch.setattr(interpreters, "PACKAGES", (str(_wheel(tmp_path)),))
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    made = make_interpreter()

    assert interpreter_for("qwen9", None) == made
    assert installed(made).packages["transformers"] == "99.0"
    assert installed(made).packages["pydantic"] == installed().packages["pydantic"]
    with pytest.raises(PlanError, match=r"\d\S+ and 99\.0\) knows model_type 'qwen10'"):
        interpreter_for("qwen10", None)
    imported = [str(made), "-c", "import transformers, yaml; print(transformers.NEWER)"]
    assert subprocess.run(imported, capture_output=True, text=True, check=True).stdout.strip() == "yes"


@pytest.mark.usefixtures("cache")
def test_a_python_without_pip_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Debian's is without python3-venv."""

    def broken(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, ["python", "-m", "ensurepip"])

    monkeypatch.setattr("venv.create", broken)
    with pytest.raises(PlanError, match=r"cannot make a virtual environment with pip .*install python3-venv"):
        make_interpreter()


@pytest.mark.usefixtures("cache")
def test_one_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is not found, half filled, by the next run."""
    monkeypatch.setattr(interpreters, "PACKAGES", ("/no/such.whl",))

    with pytest.raises(PlanError, match="pip could not install"):
        make_interpreter()

    with pytest.raises(PlanError, match="reference-python"):
        interpreter_for("qwen9", None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("#!/bin/sh\necho no such library >&2\nexit 1\n", "no such library"),
        ("#!/bin/sh\necho hello\n", "it did not answer as a Python interpreter does"),
        ("#!/no/such/shell\n", "No such file"),
    ],
)
def test_an_interpreter_that_is_none_is_named(tmp_path: Path, lines: str, words: str) -> None:
    """With the last of what it said."""
    broken = tmp_path / "python"
    broken.write_text(lines)
    broken.chmod(0o755)

    with pytest.raises(PlanError, match=f"{broken}.*{words}"):
        installed(broken)


def _wheel(folder: Path) -> Path:
    path, info = folder / "transformers-99.0-py3-none-any.whl", "transformers-99.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("transformers/__init__.py", "NEWER = 'yes'\n")
        wheel.writestr("transformers/models/auto/auto_mappings.py", 'NAMES = {"qwen9": "Qwen9Config"}\n')
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: transformers\nVersion: 99.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path
