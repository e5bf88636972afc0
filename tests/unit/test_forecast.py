"""What would be started is told without starting anything: steps, what is skipped, and what it takes in all."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.config import ModelConfig
from npu_conformance.plan.estimate import GIB
from npu_conformance.plan.forecast import Forecast, forecast
from npu_conformance.plan.steps import Kind
from npu_conformance.plan.text import forecast_lines
from npu_conformance.plan.totals import shortages
from npu_conformance.progress import Narrator
from npu_conformance.prompts import load_prompts
from npu_conformance.realisations import noise_floor
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.run.sharing import may_share, processes
from npu_conformance.storage import write_json
from npu_conformance.subject import Subject
from npu_conformance.variants import CATALOGUE, engine_options

from .tiny_checkpoints import LLAMA, llama, write

VARIANTS = "[graph, prefix_caching, fresh_engine, spec_decode, long_prompt, {name: few, options: {max_num_seqs: 4}}]"


@pytest.fixture
def session(own_configs: Path, tmp_path: Path, cache: Path) -> Session:
    """Of twins on a CPU, none built, and a real model's weights that are missing."""
    assert not cache.exists()
    (own_configs / "Guard.yaml").write_text(f"model: org/Guard\ntwin: qwen3-guard\nvariants: {VARIANTS}\n")
    (own_configs / "FP8.yaml").write_text("model: org/FP8\ntwin: qwen3-fp8\nconvert: bfloat16\n")
    (own_configs / "Also.yaml").write_text(
        "model: org/A\ntwin: bitcpm4\nreference: {also: bfloat16}\nvariants: [graph]\n"
    )
    many = "{name: many, options: {tensor_parallel_size: 4096}}"
    (own_configs / "Many.yaml").write_text(f"model: org/Many\ntwin: qwen3-guard\nvariants: [ep, {many}]\n")
    lora = "model: org/Lora\nadapter: org/Its\ntwin: qwen3.5-condenser\nprompts: [condense]\n"
    (own_configs / "Lora.yaml").write_text(lora)
    (own_configs / "Two.yaml").write_text("model: org/Two\ntwin: qwen3-guard\nvariants: [tp2]\n")
    (own_configs / "Lone.yaml").write_text("model: org/Lone\n")
    settings = Settings(configs=own_configs, twin=True, device="cpu")
    return Session(settings, tmp_path / "reports" / "now", Narrator())


def real(own_configs: Path, tmp_path: Path, text: str, **settings: Any) -> Session:
    """A session of one model with weights."""
    (own_configs / "Real.yaml").write_text(f"model: org/Real\n{text}")
    found = Settings(configs=own_configs, models_root=tmp_path / "models", device="cpu", **settings)
    return Session(found, tmp_path / "reports" / "now", Narrator())


def names(found: Forecast, kind: Kind) -> list[str]:
    """The names of the steps of a kind."""
    return [step.name for step in found.of(kind)]


def lines(found: Forecast, tmp_path: Path, width: int = 180) -> str:
    """The forecast as it is shown."""
    return "\n".join(forecast_lines(found, tmp_path / "cache", tmp_path / "reports", width))


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
        (("as_served", "graph", "few"), ["base", "as_served", "graph", "few"], ("graph", "few"), ["base", "as_served"]),
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


@pytest.mark.parametrize("platform", ["cpu", "npu"])
def test_processes_are_those_that_a_run_has(tmp_path: Path, platform: Any) -> None:
    """Every variant of the catalogue in one run whose jobs are only noted."""
    config = ModelConfig(model="org/Model", variants=tuple(CATALOGUE))
    ran: list[list[str]] = []

    def note(job: Any, _name: str, _deadline: float, **_: Any) -> None:
        ran.append([part.output.parent.name for part in getattr(job, "jobs", (job,))])
        for part in getattr(job, "jobs", (job,)):
            part.output.mkdir(parents=True)

    prepared: Any = SimpleNamespace(adapter=None, candidate=SimpleNamespace(folder=tmp_path))
    jobs: Any = SimpleNamespace(run=note)
    settings = Settings(configs=tmp_path, device=platform)
    subject = Subject("Model", "twin", tmp_path, tmp_path)
    Candidates(config, subject, prepared, tmp_path, settings, jobs).make("base", config.variant_names)

    def shares(variant: str) -> bool:
        return may_share(variant, engine_options(config.serve, variant, config.changes(variant)), "vllm", platform)

    assert processes(config.variant_names, shares) == ran
    assert sum(map(len, ran)) == len(CATALOGUE) + 2


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


def test_a_second_reference_passes_over_the_same_tokens(session: Session) -> None:
    """In less memory, its logits on half the disk."""
    first, second = forecast(session, {"Also": ("base", "graph")}).of("reference")

    assert ("float32" in first.about, "second reference in bfloat16" in second.about) == (True, True)
    assert second.take.memory < first.take.memory
    assert 2 * second.take.disk == first.take.disk > 0


def test_a_noise_floor_is_the_sum_of_its_passes(session: Session) -> None:
    """In time and disk; they come one after another, so in memory it is one of them. Each may take a deadline."""
    found = forecast(session, {"Also": ("base", "graph")})
    (reference, second), (floor,) = found.of("reference"), found.of("noise floor")
    passes = len(noise_floor("bfloat16", "sdpa"))

    assert floor.about.startswith(f"{passes} realisations in bfloat16: ")
    assert (floor.take.memory, floor.take.disk) == (second.take.memory, passes * second.take.disk)
    assert floor.take.seconds == pytest.approx(passes * second.take.seconds)
    assert floor.deadline == pytest.approx(passes * (reference.deadline or 0))
    assert floor.deadline


def test_an_adapter_is_scored_with_and_without(session: Session, configs: Path) -> None:
    """Every prompt once more, for one token."""
    prompts = len(load_prompts(session.config("Lora").prompts, configs / "prompts"))
    found = forecast(session, {"Lora": ("base",)})

    assert [one.model for one in found.of("twin")] == ["qwen3.5", "qwen3.5-condenser"]
    assert f"{2 * prompts} sequences" in found.of("reference")[0].about


@pytest.mark.usefixtures("cache")
def test_candidate_weights_are_what_the_engine_loads(own_configs: Path, tmp_path: Path) -> None:
    """The reference's stay the config's."""
    write(tmp_path / "models" / "org" / "Real", LLAMA, llama())
    large = LLAMA | {"vocab_size": 10**6}
    mine = write(tmp_path / "mine", large, llama(large))
    plain, other = (
        forecast(real(own_configs, tmp_path, "envs: {VLLM_CPU_KVCACHE_SPACE: '2'}\n", **given), {"Real": ("base",)})
        for given in ({}, {"candidate_weights": mine})
    )

    added = other.of("engine")[0].take.memory - plain.of("engine")[0].take.memory
    assert added == pytest.approx(2 * 2 * 64 * 10**6, rel=0.01)
    assert other.of("reference")[0].take.memory == plain.of("reference")[0].take.memory


@pytest.mark.usefixtures("cache")
def test_real_weights_are_estimated_from_their_headers(own_configs: Path, tmp_path: Path) -> None:
    """A large model takes more than a small one of everything, and its files are not read."""
    large = LLAMA | {"vocab_size": 50_000, "hidden_size": 4096}
    found = {}
    for size, config in (("small", LLAMA), ("large", large)):
        write(tmp_path / "models" / "org" / "Real", config, llama(config))
        found[size] = forecast(real(own_configs, tmp_path, ""), {"Real": ("base",)})
    for kind in ("engine", "reference"):
        small, large_one = (found[size].of(kind)[0].take for size in ("small", "large"))
        assert large_one.seconds > small.seconds
        assert large_one.disk == small.disk * 1000
    parameters = sum(a * b for _, (a, *rest) in llama(large).values() for b in rest or [1])
    assert found["large"].of("reference")[0].take.memory > 4 * parameters
    assert found["large"].of("engine")[0].basis == "estimated"


@pytest.mark.usefixtures("cache")
def test_weights_that_cannot_be_used_are_told_and_nothing_starts_for_them(own_configs: Path, tmp_path: Path) -> None:
    """In the words of the error they would be."""
    weights = write(tmp_path / "models" / "org" / "Real", LLAMA, llama()) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    found = forecast(real(own_configs, tmp_path, ""), {"Real": ("base",)})

    assert found.steps == ()
    assert "would be in error: Real: " in lines(found, tmp_path)
    assert "truncated" in lines(found, tmp_path)


def report(
    tmp_path: Path,
    stamp: str,
    kind: str,
    seconds: float,
    platform: str = "cpu",
    of: tuple[str, str] = ("Guard", "base"),
) -> None:
    """A report folder that says what a variant took."""
    details = tmp_path / "reports" / stamp / "details" / of[0]
    timing = {"seconds": {"start": seconds, "generate": 1}, "peak_rss_gib": 3}
    write_json(details / f"{of[1]}.json", {"candidate": {"engine": "vllm", "platform": platform, **timing}})
    write_json(details / "subject.json", {"kind": kind})


def test_what_an_earlier_run_took_replaces_the_estimate(session: Session, tmp_path: Path) -> None:
    """The newest of the same kind of run; a real model's says nothing of its twin's, nor an NPU's of a CPU's."""
    estimated = forecast(session, {"Guard": ("base",)}).of("engine")[0]
    report(tmp_path, "20260101-000000-1", "twin", 100)
    report(tmp_path, "20260102-000000-1", "twin", 200)
    report(tmp_path, "20260103-000000-1", "real", 300)
    report(tmp_path, "20260104-000000-1", "twin", 400, platform="npu")
    (tmp_path / "reports" / "latest").symlink_to("20260101-000000-1")
    (tmp_path / "reports" / "20260105-000000-1").mkdir()
    (tmp_path / "reports" / "20260106-000000-1" / "details" / "Guard").mkdir(parents=True)
    (tmp_path / "reports" / "20260106-000000-1" / "details" / "Guard" / "base.json").write_text("{")
    base, served = forecast(session, {"Guard": ("base", "as_served")}).of("engine")

    assert estimated.basis == "not built yet"
    assert (base.basis, base.take.seconds, base.take.memory) == ("as last time", 201, 3 * GIB)
    assert base.take.disk == estimated.take.disk
    assert served.basis == "not built yet"


def test_the_memory_of_one_rank_is_not_taken_for_that_of_all(session: Session, tmp_path: Path) -> None:
    """What was measured then is the process that tells the others what to do."""
    if session.why_not("Two", "tp2") is not None:
        pytest.skip("needs two cores")
    report(tmp_path, "20260101-000000-1", "twin", 100, of=("Two", "tp2"))
    found = forecast(session, {"Two": ("base", "tp2")}).of("engine")[1]

    assert (found.name, found.take.seconds) == ("tp2", 101)
    assert found.take.memory > 5 * GIB


def test_what_does_not_fit_is_told(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference in the words of the refusal it would be, once a model; engines and disk as a doubt."""
    selected = {"Guard": ("base", "as_served")}
    assert "fits here, by these estimates" in lines(forecast(session, selected), tmp_path)
    for module in ("run.cost", "plan.totals"):
        monkeypatch.setattr(f"npu_conformance.{module}.free_memory", lambda: 1000)
    found = shortages(forecast(session, selected), tmp_path / "cache", tmp_path / "reports")
    shown = lines(forecast(session, selected), tmp_path)

    refused = [line for line in found if "would be refused before any engine starts" in line]
    assert len(refused) == 1
    assert refused[0].startswith("Guard: would be refused before any engine starts: the float32 reference needs 0.")
    assert any(line.startswith("Guard base (engine): may not fit: takes 2.7 GiB of memory, 0.0 GiB") for line in found)
    assert "fits here" not in shown
    assert f"does not fit here, by these estimates:\n  {found[0]}" in shown
    assert f"\n  {refused[0]}" in shown


def test_a_second_reference_is_no_reason_to_refuse(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the float32 one is held against the machine before an engine starts."""
    found = forecast(session, {"Also": ("base",)})
    first, second = found.of("reference")
    for module in ("run.cost", "plan.totals"):
        monkeypatch.setattr(f"npu_conformance.{module}.free_memory", lambda: 1000)

    told = [shortages(Forecast((one,), ()), tmp_path / "cache", tmp_path / "reports") for one in (first, second)]
    assert "would be refused" in told[0][0]
    assert "may not fit" in told[1][0]


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

    assert len(rows) == 4
    assert max(map(len, rows)) <= 80
    assert "…" not in shown
    for word in ("compiled", "captured", "platform", "built", "float32", "bfloat16", "cache"):
        assert word in shown
