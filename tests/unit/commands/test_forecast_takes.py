"""What a run would take is told without starting it: time, memory, disk, and whether it fits."""

from pathlib import Path

import pytest

from npu_conformance.commands.plan.forecast import Forecast, forecast
from npu_conformance.commands.plan.totals import shortages
from npu_conformance.machine.capacity import GIB
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.reference_runs import noise_floor
from npu_conformance.run.cost import STARTING
from npu_conformance.run.session import Session
from tests.unit.helpers.forecasts import lines, real, session_of_twins
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write


@pytest.fixture
def session(own_configs: Path, tmp_path: Path, cache: Path) -> Session:
    """Of twins, none built."""
    return session_of_twins(own_configs, tmp_path, cache)


def test_a_second_reference_passes_over_the_same_tokens(session: Session) -> None:
    """In less memory, its logits on half the disk."""
    first, second = forecast(session, {"Also": ("base", "graph")}).of("reference")

    assert ("float32" in first.about, "second reference in bfloat16" in second.about) == (True, True)
    assert second.take.memory < first.take.memory
    assert 2 * second.take.disk == first.take.disk > 0


def test_a_noise_floor_is_the_sum_of_its_passes(session: Session) -> None:
    """In time; they come one after another, so in memory it is one of them. Each may take a deadline.

    They begin in a process that has begun, and of their rows only figures are kept.
    """
    found = forecast(session, {"Also": ("base", "graph")})
    (reference, second), (floor,) = found.of("reference"), found.of("noise floor")
    passes = len(noise_floor("bfloat16", "sdpa"))

    assert floor.about.startswith(f"{passes} floor runs in bfloat16: ")
    assert (floor.take.memory, floor.take.disk) == (second.take.memory, 0)
    assert floor.take.seconds == pytest.approx(passes * (second.take.seconds - STARTING))
    assert floor.deadline == pytest.approx(passes * (reference.deadline or 0))
    assert floor.deadline


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
    report(tmp_path, "20260107-000000-1", "twin", 500)
    odd = {"candidate": {"engine": "vllm", "platform": "cpu", "seconds": "long"}}
    write_json(tmp_path / "reports" / "20260107-000000-1" / "details" / "Guard" / "base.json", odd)
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
    for module in ("run.cost", "commands.plan.totals"):
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
    for module in ("run.cost", "commands.plan.totals"):
        monkeypatch.setattr(f"npu_conformance.{module}.free_memory", lambda: 1000)

    told = [shortages(Forecast((one,), ()), tmp_path / "cache", tmp_path / "reports") for one in (first, second)]
    assert "would be refused" in told[0][0]
    assert "may not fit" in told[1][0]


@pytest.mark.usefixtures("cache")
def test_an_engines_kv_cache_is_counted(own_configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the run sizes it: base for what it is asked, `as_served` for a request of the model's own maximum.

    A token takes 4 layers x 2 x 2 heads x 16 numbers x 2 bytes = 512 bytes, so 2**26 of them take 32 GiB, and vLLM's
    null block rounds that up.
    """
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    config = LLAMA | {"max_position_embeddings": 2**26}
    write(tmp_path / "models" / "org" / "Real", config, llama(config))
    base, served = forecast(real(own_configs, tmp_path, ""), {"Real": ("base", "as_served")}).of("engine")
    (named,) = forecast(real(own_configs, tmp_path, "serve: {max_model_len: 2048}\n"), {"Real": ("as_served",)}).of(
        "engine"
    )

    assert base.take.memory == pytest.approx(2.7 * GIB, rel=0.01)
    assert served.take.memory - base.take.memory == 32 * GIB
    assert named.take.memory == base.take.memory
