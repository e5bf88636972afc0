"""torch_npu's answer, out of whatever its process prints."""

from pathlib import Path

import pytest

from npu_conformance.commands.doctor.torch_npu import Answer, ask_torch_npu, read_answer

ANSWERED = "npu-conformance asks: 1 2"


@pytest.mark.parametrize("output", [ANSWERED, f"UserWarning: owner\n{ANSWERED}\n", f"{ANSWERED}\nbye\n[true, 3]\n"])
def test_an_answer_is_found_among_other_lines(output: str) -> None:
    """Before and behind it; also where the process then crashed."""
    assert read_answer(0, output, "noise") == Answer(available=True, count=2)
    assert read_answer(-11, output, "noise") == Answer(available=True, count=2)


def test_no_answer() -> None:
    """Why there is none: what was said last, and what it is known to mean."""
    assert read_answer(3, "", "").problem == "exit status 3"
    assert read_answer(0, "[true, 2]\nbye\n", "").problem == "exit status 0"
    loading = "Traceback\nImportError: libhccl.so: cannot open shared object file: No such file\n"
    problem = read_answer(1, "", loading).problem
    assert problem.startswith("ImportError: libhccl.so: cannot open shared object file: No such file (")
    assert "known failure: CANN's libraries are not found; what to do: `source set_env.sh`" in problem


def test_the_question_is_answered_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules in torch's place that print, also without an end of line and at the end."""
    (tmp_path / "torch.py").write_text(
        "import atexit\natexit.register(print, 'bye')\nprint('hello', end='')\n"
        "class npu:\n    is_available = lambda: True\n    device_count = lambda: 0\n"
    )
    (tmp_path / "torch_npu.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert ask_torch_npu() == Answer(available=True, count=0)
    (tmp_path / "torch_npu.py").write_text("raise ImportError('libhccl.so')")
    assert ask_torch_npu() == Answer(problem="ImportError: libhccl.so")
