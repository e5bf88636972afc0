"""What would be started is told without starting anything: steps, what is skipped, and what it takes in all."""

import sys
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess, run
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.config import ModelConfig
from npu_conformance.plan.estimate import GIB, Load, Take, engine_take
from npu_conformance.plan.forecast import Forecast, forecast
from npu_conformance.plan.steps import Kind, Step
from npu_conformance.plan.text import forecast_lines
from npu_conformance.plan.totals import shortages, totals
from npu_conformance.progress import Narrator
from npu_conformance.prompts import load_prompts
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.run.sharing import may_share, processes
from npu_conformance.storage import write_json
from npu_conformance.subject import Subject
from npu_conformance.variants import CATALOGUE, engine_options

from .suite_runs import MODEL, ROOT, clean_environment, command
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


def step(kind: Kind = "engine", process: int = 1, **take: float) -> Step:
    """A step that takes nothing but what is said."""
    taken = Take(**{"seconds": 0, "memory": 0, "disk": 0, **take})
    return Step(
        kind=kind, model="M", name="base", about="", take=taken, basis="estimated", process=process, deadline=99
    )


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
    assert names(found, "reference") == ["base", "as_served", "long_prompt"]
    assert found.processes == 3
    shown = lines(found, tmp_path)
    assert "in all: 8 engine starts, 3 engine processes, 3 reference passes, 1 twin to build, 0 skipped" in shown
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
        (("long_prompt",), ["base", "long_prompt"], ("long_prompt",), ["long_prompt"]),
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
    assert names(found, "reference") == scored
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
    assert "in all: 0 engine starts, 0 engine processes, 0 reference passes, 0 twins to build, 3 skipped" in shown
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
    """In less memory, its logits on as much disk."""
    first, second = forecast(session, {"Also": ("base", "graph")}).of("reference")

    assert ("float32" in first.about, "second reference in bfloat16" in second.about) == (True, True)
    assert second.take.memory < first.take.memory
    assert second.take.disk == first.take.disk > 0


def test_an_adapter_is_scored_with_and_without(session: Session, configs: Path) -> None:
    """Every prompt once more, for one token."""
    prompts = len(load_prompts(session.config("Lora").prompts, configs / "prompts"))
    found = forecast(session, {"Lora": ("base",)})

    assert [one.model for one in found.of("twin")] == ["qwen3.5", "qwen3.5-condenser"]
    assert f"{2 * prompts} sequences" in found.of("reference")[0].about


def test_candidate_weights_are_what_the_engine_loads(own_configs: Path, tmp_path: Path, cache: Path) -> None:
    """The reference's stay the config's."""
    assert cache
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


def test_real_weights_are_estimated_from_their_headers(own_configs: Path, tmp_path: Path, cache: Path) -> None:
    """A large model takes more than a small one of everything, and its files are not read."""
    assert cache
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


def test_weights_that_cannot_be_used_are_told_and_nothing_starts_for_them(
    own_configs: Path, tmp_path: Path, cache: Path
) -> None:
    """In the words of the error they would be."""
    assert cache
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


def take(variant: str, load: Load, follows: bool = False, platform: Any = "cpu", **options: Any) -> Take:
    """What a twin's engine takes."""
    return engine_take(
        load,
        variant,
        {"dtype": "bfloat16", "enforce_eager": True, **options},
        candidate="vllm",
        platform=platform,
        twin=True,
        envs={},
        follows=follows,
    )


def test_an_engine_takes_what_it_is_asked_for() -> None:
    """Rows by manner, seconds by start, memory by rank."""
    load = Load(parameters=10**6, weights=GIB, vocabulary=1000, lengths=((20, 48),) * 10, longest=8192)
    base, walked, only = (take(variant, load) for variant in ("base", "async_scheduling", "spec_decode"))
    warm = take("prefix_caching", load, enable_prefix_caching=True)
    adapted = take("base", replace(load, adapted=True))

    # Answers, once more as prefills, and six probes of eight tokens; a row has two bytes a word.
    assert base.disk == (2 * 480 + 48) * 2000
    assert walked.disk == (480 + 48) * 2000
    assert adapted.disk == base.disk + 10 * 2000
    assert warm.disk == walked.disk + 480 * 2000
    assert warm.seconds > walked.seconds
    assert only.disk == only.scratch == 0
    assert base.scratch > walked.scratch
    assert take("base", load, enforce_eager=False).seconds - base.seconds == pytest.approx(20)
    assert base.seconds - take("base", load, follows=True).seconds == pytest.approx(7)
    assert take("base", load, platform="npu").seconds > base.seconds + 40
    assert take("tp2", load, tensor_parallel_size=2).memory == pytest.approx(2 * base.memory - GIB)
    assert take("base", load, dtype="float32").disk == 2 * base.disk


def test_totals_are_sums_but_for_what_comes_one_after_another(tmp_path: Path) -> None:
    """Memory and scratch files are freed in between; twins train side by side."""
    steps = (
        step("twin", seconds=10, memory=1, disk=4),
        step("conversion", seconds=1, memory=2, disk=100),
        step(seconds=20, memory=30, disk=5, scratch=7),
        step(seconds=30, memory=40, disk=6, scratch=3),
        step("reference", seconds=3, memory=35, disk=1000),
    )
    whole = totals(Forecast(steps, ()), tmp_path / "cache", tmp_path / "reports")

    assert (whole.seconds, whole.memory, whole.cache, whole.reports) == (64, 40, 1104, 18)


def test_logits_are_copied_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a link is not possible they are on both."""
    disks = {"cache": 1, "reports": 2}
    monkeypatch.setattr(
        "npu_conformance.plan.totals.existing",
        lambda folder: SimpleNamespace(stat=lambda: SimpleNamespace(st_dev=disks[folder.name])),
    )
    whole = totals(Forecast((step("reference", disk=1000),), ()), tmp_path / "cache", tmp_path / "reports")

    assert (whole.cache, whole.reports) == (1000, 1000)


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


def test_a_full_disk_and_a_short_deadline_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache and reports share a disk here, so they are added."""
    run_of = Forecast((step(seconds=100, disk=6 * GIB), step("reference", disk=6 * GIB)), ())
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=10 * GIB))
    found = shortages(run_of, tmp_path / "cache", tmp_path / "reports")

    assert found == [
        "M base (engine): may be ended: takes 100 s, its deadline is 99 s: give it another with --deadline",
        f"the run may not fit: takes 12.0 GiB of the disk of {tmp_path / 'cache'}, 10.0 GiB are free",
    ]


def test_traces_that_are_judged_again_start_nothing(own_configs: Path, tmp_path: Path, cache: Path) -> None:
    """With `--from` no engine and no reference runs."""
    assert cache
    saved = tmp_path / "saved"
    write_json(saved / "traces" / "Real" / "subject.json", {"kind": "twin"})
    found = forecast(real(own_configs, tmp_path, "", from_dir=saved), {"Real": ("base", "as_served")})

    assert found.steps == ()
    assert "saved traces of 2 variants would be judged again" in lines(found, tmp_path)


def test_a_narrow_terminal_loses_no_word_of_a_row(session: Session, tmp_path: Path) -> None:
    """Cells are wrapped, not cut."""
    shown = lines(forecast(session, {"Guard": ("base", "graph")}), tmp_path, width=80)
    rows = [line for line in shown.splitlines() if line.startswith("Guard")]

    assert len(rows) == 3
    assert max(map(len, rows)) <= 80
    assert "…" not in shown
    for word in ("compiled", "captured", "platform", "built", "float32"):
        assert word in shown


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
