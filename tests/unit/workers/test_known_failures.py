"""Failures engines are known for: each recognised by its line as it was met, the cause before the noise."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.workers.known_failures import KNOWN, Known, explanation, find_known
from tests.unit.helpers.failures_met import HEALTHY, MET
from tests.unit.helpers.suite_runs import judge
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

LINES = [(name, line) for name, lines in MET.items() for line in lines]


def test_every_known_failure_was_met() -> None:
    """A pattern without its line is a guess."""
    assert {known.name for known in KNOWN} == set(MET)
    assert len({known.name for known in KNOWN}) == len(KNOWN)
    assert all(known.meaning and known.remedy and known.source for known in KNOWN)


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{name}-{place}" for place, (name, _) in enumerate(LINES)])
def test_a_line_is_recognised(name: str, line: str) -> None:
    """By its own row, with what engines write around it."""
    prefix = "(EngineCore_0 pid=18650) ERROR 08-25 04:33:08 [core.py:700] " if line != "MemoryError" else ""
    found = find_known(f"{HEALTHY}{prefix}{line}\nsome more\n")

    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("known", KNOWN, ids=[known.name for known in KNOWN])
def test_no_log_takes_long(known: Known) -> None:
    """A MiB of beginnings of the line it looks for, none of which ends as it should."""
    assert not re.search(r"[*+]", re.sub(r"\\.|\[[^]]+\]", "", known.pattern.pattern)), "it repeats without a bound"
    text = MET[known.name][0][:-9]
    started = time.monotonic()
    known.pattern.search(text[: len(text) // 2] * (2**21 // len(text)))
    assert time.monotonic() - started < 5


def test_a_healthy_log_means_nothing() -> None:
    """Warnings that every run prints are no failure."""
    assert find_known(HEALTHY) is None


def test_a_reports_prose_is_no_log() -> None:
    """Engines do not print torch_npu's count as a person writes it."""
    assert find_known("torch.npu.is_available() = True, torch.npu.device_count() = 0") is None
    assert find_known("AssertionError: local rank 8 is out of bounds for 10 devices.") is None


def test_the_cause_is_named_before_what_it_caused() -> None:
    """Of specific failures the first; a general one only where there is no specific one, wherever it stands."""
    general, specific = MET["torch_npu"][0], MET["NPU memory"][0]

    for text in (f"{general}\n{specific}", f"{specific}\n{general}\n{MET['HCCL timeout'][0]}"):
        found = find_known(text)
        assert found is not None
        assert found.name == "NPU memory"


def test_only_the_end_of_a_huge_log_is_read(tmp_path: Path) -> None:
    """What stands in its last MiB counts, what stands before does not."""
    line, filler = MET["NPU memory"][0], "x" * 99 + "\n"
    (tmp_path / "early").write_text(line + "\n" + filler * 11_000)
    (tmp_path / "late").write_text(filler * 11_000 + line + "\n")

    assert explanation(tmp_path / "early") == ""
    assert explanation(tmp_path / "late").startswith("known failure: the NPU's memory is full; what to do: ")


def test_what_is_not_there_says_nothing(tmp_path: Path) -> None:
    """No log, no words."""
    assert explanation(tmp_path / "none") == ""


def test_a_silent_kill_is_the_kernels(tmp_path: Path) -> None:
    """With the container's own count, where it has one; not where the log knows better."""
    log, events = tmp_path / "log.txt", tmp_path / "sys/fs/cgroup/memory.events"
    events.parent.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    log.write_text(HEALTHY)

    assert explanation(log, root=tmp_path) == ""
    assert explanation(log, killed=True, root=tmp_path).startswith("known failure: killed from outside")
    events.write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\n")
    assert "which has killed" not in explanation(log, killed=True, root=tmp_path)
    events.write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 3\n")
    assert "which has killed 3 processes of this container so far" in explanation(log, killed=True, root=tmp_path)
    log.write_text(MET["NPU memory"][0])
    assert "the NPU's memory is full" in explanation(log, killed=True, root=tmp_path)


@pytest.mark.parametrize("line", MET["crash"])
def test_a_crash_is_no_silent_kill(tmp_path: Path, line: str) -> None:
    """It has a word in the log: its own, or what was said before it of the cause."""
    log = tmp_path / "log.txt"
    log.write_text(f"{HEALTHY}{line}\nStack (most recent call first):\n")
    assert explanation(log, killed=True).startswith("known failure: a process crashed in native code; what to do: ")
    assert explanation(log, killed=True) == explanation(log)

    for cause, told in (("HCCL", "HCCL failed"), ("NPU memory", "the NPU's memory is full")):
        log.write_text(f"{HEALTHY}{MET[cause][0]}\n{line}\n")
        assert told in explanation(log, killed=True)
    log.write_text(f"{line}\n{MET['NPU memory'][0]}\n")
    assert "the NPU's memory is full" in explanation(log, killed=True)
    log.write_text(f"{MET['HCCL'][0]}\n")
    assert "killed from outside" in explanation(log, killed=True)


def test_an_explanation_reaches_the_failing_tests_text(own_configs: Path, tmp_path: Path) -> None:
    """And its report: a worker prints a line and dies, in a run of the suite as its users run it."""
    (own_configs / "Model.yaml").write_text("model: org/Model\n")
    write(tmp_path / "models" / "org" / "Model", LLAMA, llama())
    line = MET["NPU memory"][0]
    dying = f"if 'npu_conformance.workers.worker' in sys.orig_argv: print({line!r}, flush=True); os._exit(7)"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"import os, sys\n{dying}\n")

    options = ("-o", f"model_configs={own_configs}", "--models-root", str(tmp_path / "models"), "-k", "Model-base")
    environment = {"PYTHONPATH": f"{tmp_path / 'site'}:src", "NPU_CONFORMANCE_CACHE": str(tmp_path / "cache")}
    outcome = judge(tmp_path / "reports", *options, **environment)

    assert outcome.status == 1
    assert "known failure: the NPU's memory is full; what to do: see with `npu-smi info`" in outcome.output
    assert "known failure: the NPU's memory is full" in json.dumps(outcome.model("Model"))


def test_a_cause_is_named_before_the_inner_error_around_it() -> None:
    """As PR 9632 of vllm-ascend quotes one failure."""
    log = """\
RuntimeError: npu_fused_infer_attention_score_symint:op_plugin/FusedInferAttentionScoreKernelNpuOpApi.cpp:415 NPU
function error: call aclnnFusedInferAttentionScoreV3 failed, error code is 561002
ERR00100 PTA call acl api failed.
E89999: Inner Error!
E89999[PID: 11276] 2026-05-26-16:53:01.891.272 (E89999): When layout is TND, queryD(256), keyD(256) and valueD(256) must
"""
    known = find_known(log)

    assert known is not None
    assert known.name == "head size"


PIECES = st.sampled_from([line for lines in MET.values() for line in lines]) | st.text(max_size=40)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=st.lists(PIECES, max_size=6), lines=st.lists(st.booleans(), min_size=6, max_size=6))
def test_any_log(pieces: list[str], lines: list[bool]) -> None:
    """Has at most one cause, in words; a specific one wherever one of its lines stands whole."""
    text = "".join(piece + ("\n" if ends else " ") for piece, ends in zip(pieces, lines, strict=False))
    known = find_known(text)

    met = {name for name, found in MET.items() if any(line in pieces for line in found)}
    specific = {one.name for one in KNOWN if not one.general}
    if met & specific - {"host memory", "longest request"}:
        assert known is not None
        assert not known.general
