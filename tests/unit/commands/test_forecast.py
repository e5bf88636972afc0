"""What would be started is told without starting anything: steps, their processes, and what is skipped."""

from pathlib import Path

import pytest

from npu_conformance.commands.plan.forecast import forecast
from npu_conformance.config.prompts import load_prompts
from npu_conformance.config.variants import CATALOGUE
from npu_conformance.machine.storage import write_json
from npu_conformance.run.session import Session
from tests.unit.helpers.forecasts import lines, names, real, session_of_twins
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write


@pytest.fixture
def session(own_configs: Path, tmp_path: Path, cache: Path) -> Session:
    """Of twins, none built."""
    return session_of_twins(own_configs, tmp_path, cache)


def test_every_selected_variant_is_an_engine_in_the_process_it_would_have(session: Session, tmp_path: Path) -> None:
    """A fresh engine and one without captured logits are alone; a long text has a reference of its own."""
    found = forecast(session, {"Guard": session.variants("Guard")})
    placed = {one.name: one.process for one in found.of("engine")}

    assert placed == {
        **dict.fromkeys(("base", "as_served", "graph", "prefix_caching", "long_prompt", "few"), 1),
        "fresh_engine": 2,
        "spec_decode": 3,
    }
    assert names(found, "engine")[0] == "base"
    assert names(found, "reference") == names(found, "noise floor") == ["base", "as_served", "long_prompt"]
    assert found.processes == 3
    shown = lines(found, tmp_path)
    counted = "8 engine starts, 3 engine processes, 3 reference passes, 3 noise floors, 1 twin to build, 0 skipped"
    assert f"in all: {counted}" in shown
    assert "max_num_seqs" in shown
    assert CATALOGUE["graph"].changes in shown
    assert "shared by 6" in shown
    assert shown.count("with base") == 5
    assert "not built yet" in shown


@pytest.mark.parametrize(
    ("selected", "engines", "needed", "scored"),
    [
        (("graph",), ["base", "graph"], ("graph",), ["base"]),
        (("as_served", "graph", "few"), ["base", "as_served", "graph", "few"], ("graph", "few"), ["as_served", "base"]),
        (("long_prompt",), ["long_prompt"], None, ["long_prompt"]),
        (("graph", "base"), ["base", "graph"], (), ["base"]),
        (("as_served",), ["as_served"], None, ["as_served"]),
    ],
)
def test_base_runs_for_those_that_walk_its_tokens(
    session: Session,
    tmp_path: Path,
    selected: tuple[str, ...],
    engines: list[str],
    needed: tuple[str, ...] | None,
    scored: list[str],
) -> None:
    """Also where it is not selected, and says for whom."""
    found = forecast(session, {"Guard": selected})

    assert names(found, "engine") == engines
    assert names(found, "reference") == names(found, "noise floor") == scored
    if needed is not None:
        assert found.of("engine")[0].needed_by == needed
    assert ("needed by" in lines(found, tmp_path)) == bool(needed)


def test_processes_of_several_models_add_up(session: Session) -> None:
    """Models do not share one."""
    found = forecast(session, {"Guard": ("base", "fresh_engine"), "FP8": ("base", "as_served")})

    assert [one.process for one in found.of("engine")] == [1, 2, 3, 3]
    assert found.processes == 3


def test_what_would_be_skipped_is_told_with_the_reason_and_starts_nothing(session: Session, tmp_path: Path) -> None:
    """The reason the run would give."""
    found = forecast(session, {"Many": ("ep", "many"), "Lone": ("base",)})
    reasons = {(one.model, one.variant): one.reason for one in found.skipped}

    assert found.steps == ()
    assert reasons[("Many", "many")] == session.why_not("Many", "many")
    assert "4096 devices" in reasons[("Many", "many")]
    assert "has no twin" in reasons[("Lone", "base")]
    shown = lines(found, tmp_path)
    counted = "0 engine starts, 0 engine processes, 0 reference passes, 0 noise floors, 0 twins to build, 3 skipped"
    assert f"in all: {counted}" in shown
    assert "4096 devices" in shown


def test_missing_twins_are_told_once_and_bases_first(session: Session, cache: Path) -> None:
    """One that is built is not among them; what is made of another's weights is converted first."""
    found = forecast(session, {"FP8": ("base",), "Guard": ("base",)})

    assert [one.model for one in found.of("twin")] == ["qwen3-guard", "qwen3-fp8"]
    assert names(found, "conversion") == ["bfloat16"]
    assert not cache.exists()
    built = session.subject("Guard").reference
    write(built, LLAMA, llama())
    (built / "twin.json").write_text("{}")
    again = forecast(session, {"FP8": ("base",), "Guard": ("base",)})
    assert [one.model for one in again.of("twin")] == ["qwen3-fp8"]
    assert {one.model: one.basis for one in again.of("engine")} == {
        "FP8": "not built yet",
        "Guard": "estimated",
    }


def test_a_twin_whose_original_is_another_may_be_missing(own_configs: Path, tmp_path: Path, cache: Path) -> None:
    """Neither is there: their sizes are a twin's."""
    own = session_of_twins(own_configs, tmp_path, cache)
    (own_configs / "Codes.yaml").write_text(
        "model: org/Codes\nscheme: w8a8\nreference: {model: org/Original}\ntwin: qwen3-modelslim\n"
    )
    found = forecast(own, {"Codes": ("base",)})

    assert [one.model for one in found.of("twin")] == ["qwen3-guard", "qwen3-modelslim"]
    assert {one.basis for one in found.steps if one.kind in ("engine", "reference")} == {"not built yet"}


def test_an_adapter_is_scored_with_and_without(session: Session, configs: Path) -> None:
    """Every prompt once more, for one token."""
    prompts = len(load_prompts(session.config("Lora").prompts, configs / "prompts"))
    found = forecast(session, {"Lora": ("base",)})

    assert [one.model for one in found.of("twin")] == ["qwen3.5", "qwen3.5-condenser"]
    assert f"{2 * prompts} sequences" in found.of("reference")[0].about


@pytest.mark.usefixtures("cache")
def test_weights_that_cannot_be_used_are_told_and_nothing_starts_for_them(own_configs: Path, tmp_path: Path) -> None:
    """In the words of the error they would be."""
    weights = write(tmp_path / "models" / "org" / "Real", LLAMA, llama()) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    found = forecast(real(own_configs, tmp_path, ""), {"Real": ("base",)})

    assert found.steps == ()
    assert "would be in error: Real: " in lines(found, tmp_path)
    assert "truncated" in lines(found, tmp_path)


@pytest.mark.usefixtures("cache")
def test_traces_that_are_judged_again_start_nothing(own_configs: Path, tmp_path: Path) -> None:
    """With `--from` no engine and no reference runs."""
    saved = tmp_path / "saved"
    write_json(saved / "traces" / "Real" / "subject.json", {"kind": "twin"})
    found = forecast(real(own_configs, tmp_path, "", from_dir=saved), {"Real": ("base", "as_served")})

    assert found.steps == ()
    assert "saved traces of 2 variants would be judged again" in lines(found, tmp_path)


def test_a_narrow_terminal_loses_no_word_of_a_row(session: Session, tmp_path: Path) -> None:
    """Cells are wrapped, not cut."""
    shown = lines(forecast(session, {"Guard": ("base", "graph")}), tmp_path, width=80)
    rows = [line for line in shown.splitlines() if line.startswith("Guard")]

    assert len(rows) == 6
    assert max(map(len, rows)) <= 80
    assert "…" not in shown
    for word in ("compiled", "captured", "platform", "built", "float32", "bfloat16", "cache"):
        assert word in shown
