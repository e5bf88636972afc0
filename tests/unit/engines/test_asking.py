"""What is kept of an engine's rows, and that a finished trace outlives the engine; over an engine that is made up."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import numpy as np
import pytest
from pydantic import ValidationError

from npu_conformance.engines.rendering import Rendered
from npu_conformance.engines.vllm import engine as vllm
from npu_conformance.engines.vllm.asking import MODES
from npu_conformance.engines.vllm.engine_run import EngineRun
from npu_conformance.engines.vllm.generation import Captured, Generated
from npu_conformance.engines.vllm.scratch import NARROW, PLACE
from npu_conformance.traces.rows import pack
from npu_conformance.traces.trace import BOUNDARY, Answer, load_trace
from npu_conformance.workers.job import JOB, CandidateJob, Mode

RENDERED = Rendered(prompts=(), prompt_ids=(), chat=(), eos_token_ids=(9,))


def tokenizer() -> Any:
    """One whose text is the ids."""

    def decode(ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return " ".join(map(str, ids))

    return SimpleNamespace(decode=decode)


def engine() -> Any:
    """As much of vLLM's LLM as is asked here."""
    config = SimpleNamespace(model_config=SimpleNamespace(dtype="torch.bfloat16"))
    return SimpleNamespace(get_tokenizer=tokenizer, llm_engine=SimpleNamespace(vllm_config=config))


def job(folder: Path, mode: Mode = "generate", tokens_of: Path | None = None) -> CandidateJob:
    """A candidate's job."""
    return CandidateJob(
        output=folder / "candidate",
        engine="vllm",
        checkpoint=folder,
        rendered=folder / "rendered.json",
        tokens_of=tokens_of,
        mode=mode,
        options={},
        max_tokens=4,
    )


@pytest.fixture
def asked(tmp_path: Path) -> EngineRun:
    """An engine that chooses its tokens, as base does."""
    stage = tmp_path / "stage"
    stage.mkdir()
    return EngineRun(job(tmp_path), RENDERED, cast(Any, SimpleNamespace(llm=engine())), stage)


@pytest.fixture
def captured(tmp_path: Path) -> Captured:
    """Three rows of a request: they choose 3 and 1, and one has a NaN, which is no choice."""
    rows = np.array([[0, 1, 2, 3], [0, 5, 1, 1], [1, 2, np.nan, 4]], dtype=np.float32)
    stored, storage = pack(rows)
    stored.tofile(tmp_path / "narrow")
    np.full(3, NARROW, dtype=np.uint8).tofile(tmp_path / "kind")
    (tmp_path / "vocabulary").write_text("4")
    places = np.array([(2, 1), (2, 1), (0, 2)], dtype=PLACE)
    return Captured(tmp_path, [Generated((7,), (3, 1, 2), "what it said", 0, "stop", places)], 3, storage)


def test_the_text_of_tokens_it_chose_is_the_engines(asked: EngineRun, captured: Captured) -> None:
    """With the batch rows and the stored logits."""
    (answer,) = asked.save(["a/1"], captured, forced=False)

    assert answer == Answer(
        "a/1", (7,), (3, 1, 2), "what it said", "bfloat16", batch_rows=(2, 2, 0), finish_reason="stop"
    )
    np.testing.assert_array_equal(np.load(asked.stage / "0000.npy"), captured.stored(0)[0])


def test_the_text_of_tokens_it_was_given_is_its_own_choice(asked: EngineRun, captured: Captured) -> None:
    """Whatever the job's mode: base's block-boundary prompts are forced too. A NaN's index is no choice."""
    asked.save_part(BOUNDARY, ["a/1"], captured, forced=True, ends=(5,))
    part = load_trace(asked.stage / BOUNDARY)

    assert [(answer.token_ids, answer.text) for answer in part.answers] == [((3, 1, 2), "3 1 0")]
    assert (part.forced, part.eos_token_ids) == (True, (5,))
    np.testing.assert_array_equal(part.logits(0), captured.rows(0))


@pytest.mark.parametrize("mode", ["forced", "forced warm"])
def test_a_walk_needs_a_trace_to_walk(tmp_path: Path, mode: Mode) -> None:
    """Also as it travels to the worker; the other manners need none."""
    with pytest.raises(ValidationError, match=f"the mode '{mode}' needs a trace whose tokens to take"):
        job(tmp_path, mode)
    whole = job(tmp_path, mode, tmp_path)
    assert JOB.validate_json(whole.model_dump_json()) == whole
    others: tuple[Mode, ...] = ("generate", "forced long", "tokens only")
    for other in others:
        assert job(tmp_path, other).tokens_of is None


def test_the_device_is_asked_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several ranks the process that asks has none, and asking the platform there would initialise one."""
    from npu_conformance.engines.vllm.extension import Extension

    def initialises() -> str:
        raise RuntimeError("this process has no device")

    platform = SimpleNamespace(device_type="npu", get_device_name=initialises)
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.platforms", cast(Any, SimpleNamespace(current_platform=platform)))
    told = {"device_name": ["Ascend910B3"] * 2, "attention_backend": ["CUSTOM"] * 2, "vllm_ascend_config": [{}] * 2}
    config = MagicMock(additional_config={})
    llm = SimpleNamespace(llm_engine=SimpleNamespace(vllm_config=config), collective_rpc=told.__getitem__)
    found = vllm.effective(llm, {})

    assert (found["platform"], found["device"]) == ("npu", "Ascend910B3")
    monkeypatch.setattr(platform, "get_device_name", lambda: "Ascend910B3")
    assert Extension().device_name() == "Ascend910B3"


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has started no engine yet, and engines that answer nothing."""
    monkeypatch.setattr(vllm, "_engines", itertools.count())
    monkeypatch.setattr(vllm, "start", lambda *_: engine())
    monkeypatch.setattr(vllm, "load_rendered", lambda _: RENDERED)
    for name in ("effective", "observed"):
        monkeypatch.setattr(vllm, name, lambda *_: {})
    monkeypatch.setattr(vllm, "_made_with", lambda _: [])
    monkeypatch.setitem(MODES, "generate", lambda _: [])


@pytest.mark.usefixtures("made_up")
def test_an_engine_that_dies_while_closing_leaves_its_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole when it says that it closes, with nothing half made beside it."""
    found: dict[str, list[str]] = {}

    def dies(_: Any) -> None:
        raise RuntimeError("the engine died")

    def progress(phase: str, done: int, total: int) -> None:
        assert (done, total) == (0, 0)
        found[phase] = [path.name for path in tmp_path.iterdir()]

    monkeypatch.setattr(vllm, "close", dies)
    with pytest.raises(RuntimeError, match="the engine died"):
        vllm.run(job(tmp_path), progress)

    assert found == {"starting vLLM": [], "started": [], "closing": ["candidate"]}
    assert load_trace(tmp_path / "candidate").answers == ()


@pytest.mark.usefixtures("made_up")
def test_only_a_processs_first_engine_claims_its_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process keeps the maximum: what the others took beside is not in it."""
    monkeypatch.setattr(vllm, "close", lambda _: None)
    peaks: list[Any] = []
    for name in ("base", "second", "third"):
        (tmp_path / name).mkdir()
        vllm.run(job(tmp_path / name), lambda *_: None)
        peaks.append(load_trace(tmp_path / name / "candidate").provenance.get("peak_rss_gib"))

    assert peaks[0] > 0
    assert peaks[1:] == [None, None]
