"""What is to be made of a model, in which order; that a run makes it, and that the forecast shows it."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.commands.plan.forecast import forecast
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE, scored_with
from npu_conformance.errors import ConformanceError
from npu_conformance.machine.devices import Platform
from npu_conformance.measure.reference_runs import ReferenceRun
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.schedule import Schedule, Served, passes, schedule
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.made_candidates import LENGTHS, QWEN, Processes
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

VARIANTS = "[graph, prefix_caching, fresh_engine, spec_decode, long_prompt, {name: own, envs: {A: '1'}}]"
SELECTIONS = [
    ("base", "as_served"),
    ("as_served",),
    ("graph",),
    ("spec_decode",),
    ("long_prompt",),
    ("as_served", "graph", "long_prompt"),
    ("fresh_engine", "prefix_caching", "own"),
    ("base", "as_served", "graph", "prefix_caching", "fresh_engine", "spec_decode", "long_prompt", "own"),
]


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Much memory, a cache of the test's own, nothing said in the shell."""
    monkeypatch.setattr("npu_conformance.run.room.free_memory", lambda: 2**40)
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)


def served(platform: Platform = "cpu", candidate: str = "vllm", **config: Any) -> Served:
    """A model of 0.6B with every variant there is."""
    told = {"model": "a/b", "variants": [*CATALOGUE, {"name": "own", "options": {"block_size": 16}}], **config}
    return Served(ModelConfig.model_validate(told), QWEN, LENGTHS, candidate, platform)


def names(found: Schedule) -> list[list[str]]:
    """Variants by process."""
    return [[one.variant for one in group] for group in found.processes]


def test_every_variant_has_one_engine() -> None:
    """Base is the first, also where it is named last; on an accelerator each is in a process of its own."""
    model = served()
    variants = [*reversed(model.config.variant_names)]
    found = schedule(model, variants)
    flat = [variant for group in names(found) for variant in group]

    assert flat[0] == "base"
    assert sorted(flat) == sorted(variants)
    assert [group for group in names(found) if len(group) > 1] == [names(found)[0]]
    assert all(len(group) == 1 for group in names(schedule(served("npu"), variants)))


def test_what_ran_is_not_made_again() -> None:
    """Nor is base for the sake of those that take its tokens."""
    assert names(schedule(served(), ("base", "graph", "tp2"), made={"base": None, "graph": None})) == [["tp2"]]
    assert names(schedule(served(), ("graph",), made={"base": None})) == [["graph"]]
    assert names(schedule(served(), ("base",), made={"base": None})) == []


def test_base_says_for_whom_it_runs() -> None:
    """Unless it is selected itself."""
    assert schedule(served(), ("graph", "long_prompt")).processes[0][0].needed_by == ("graph",)
    assert schedule(served(), ("graph", "base")).processes[0][0].needed_by == ()


def test_what_an_engine_is_asked() -> None:
    """The prompts' lengths or those of long texts; a longest request for what shares the host's memory."""
    model = served()
    found = {variant: model.engine(variant) for variant in model.config.variant_names}
    long = found["long_prompt"]

    assert (found["graph"].mode, found["graph"].lengths, found["graph"].takes_base) == ("forced", LENGTHS, True)
    assert (long.mode, long.lengths, long.takes_base) == ("forced long", ((1100, 200), (4200, 200)), False)
    assert long.options["max_model_len"] == 4480
    assert "max_model_len" not in found["as_served"].options
    assert "max_model_len" not in served("npu").engine("graph").options
    short = served(serve={"max_model_len": 2048}).engine("long_prompt")
    assert short.lengths == ((1100, 200),)


@pytest.mark.parametrize(("dtype", "reference"), [("bfloat16", "float32"), ("float32", "float64")])
def test_the_reference_has_more_bits_than_the_candidate(dtype: str, reference: str) -> None:
    """Or it would round as much; floor runs have as many, in both kinds of attention."""
    (found,) = passes(served(serve={"dtype": dtype}).config, ["base"])

    assert (found.runs[0].name, found.runs[0].dtype) == ("reference", reference)
    assert {run.dtype for run in found.runs[1:]} == {dtype}
    assert {run.attn_implementation for run in found.runs[1:]} == {"sdpa", "eager"}


def test_a_model_that_has_no_sdpa_is_never_computed_by_it() -> None:
    """As many floor runs as another has, each of its own."""
    usual, eager = (
        passes(served(reference={"attn_implementation": one}).config, ["base"])[0].runs for one in ("sdpa", "eager")
    )

    assert {run.attn_implementation for run in eager} == {"eager"}
    assert len(set(eager)) == len(eager) == len(usual)


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        (("base", "graph", "tp2"), ["base reference", "base second_reference"]),
        (("graph",), ["base reference"]),
        (("graph", "base"), ["base reference", "base second_reference"]),
        (
            ("as_served", "graph", "long_prompt"),
            [
                "as_served reference",
                "as_served second_reference",
                "base reference",
                "long_prompt reference",
                "long_prompt second_reference",
            ],
        ),
    ],
)
def test_passes_of_the_reference(variants: Sequence[str], expected: list[str]) -> None:
    """In the order in which tests want them; the second reference looks at what is selected itself."""
    found = schedule(served(reference={"also": "bfloat16"}), variants).passes

    assert [f"{one.variant} {one.name}" for one in found] == expected
    assert all(len(one.runs) == (5 if one.name == "reference" else 1) for one in found)
    assert schedule(served(), variants, scores=False).passes == ()


def test_a_quantised_candidate_has_a_pass_more() -> None:
    """What quantisation costs by itself, after the floor runs, in the same process."""
    (one,) = schedule(dataclasses.replace(served(), quantised=True), ("base",)).passes

    assert [run.name for run in one.runs if run.deviates][-1] == "quantised/float32"
    assert (one.runs[-1].dtype, len(one.runs)) == ("float32", 6)


class Scored:
    """References that note what they are asked for."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, tuple[ReferenceRun, ...]]] = []
        self.ahead_of: list[tuple[str, tuple[ReferenceRun, ...]]] = []

    @contextlib.contextmanager
    def ahead(self, folder: Path, runs: tuple[ReferenceRun, ...]) -> Iterator[None]:
        """As `References` does it."""
        self.ahead_of.append((folder.name, runs))
        scored = len(self.ran)
        yield
        assert (folder.name, runs) in self.ran[scored:]

    def score(self, folder: Path, runs: tuple[ReferenceRun, ...]) -> None:
        """As `References` does it."""
        self.ran.append((folder.name, runs))


def judged(session: Session, selected: Sequence[str], tmp_path: Path) -> tuple[Processes, Scored]:
    """What a session of one model makes when its tests are asked in order, with workers that only take notes."""
    processes, scored, traces = Processes(), Scored(), tmp_path / "traces"
    config, subject = session.config("Real"), session.subject("Real")
    prepared: Any = SimpleNamespace(
        quantised=False,
        adapter=None,
        candidate=Checkpoint(subject.reference, LLAMA, {}),
        lengths=((8, config.max_tokens),) * 5,
    )
    made = Candidates(config, subject, prepared, traces, session.settings, cast(Jobs, processes))
    session.expect({"Real": tuple(selected)})
    session.__dict__["model_run"] = lambda _: ModelRun(traces, prepared, made, cast(Any, scored))
    for variant in selected:
        with contextlib.suppress(ConformanceError):  # there are no traces to judge
            session.evidence("Real", variant)
    return processes, scored


@pytest.mark.parametrize("platform", ["cpu", "npu"])
@pytest.mark.parametrize("selected", SELECTIONS)
def test_what_the_forecast_shows_is_what_a_run_makes(
    own_configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selected: Sequence[str], platform: Platform
) -> None:
    """The same engines in the same processes, and the same passes, both in the same order."""
    found = [f"npu_conformance.{module}.find_devices" for module in ("run.candidates", "commands.plan.steps")]
    for name in found:
        monkeypatch.setattr(name, lambda _: (platform, 4))
    monkeypatch.setattr(Session, "why_not", lambda *_: None)
    write(tmp_path / "models" / "org" / "Real", LLAMA, llama())
    also = "reference: {also: bfloat16}"
    (own_configs / "Real.yaml").write_text(f"model: org/Real\n{also}\nvariants: {VARIANTS}\n")
    settings = Settings(configs=own_configs, models_root=tmp_path / "models")
    session = Session(settings, tmp_path / "reports" / "now", Narrator())
    shown = forecast(session, {"Real": selected})
    processes, scored = judged(session, selected, tmp_path)

    engines: dict[int, list[str]] = {}
    for step in shown.of("engine"):
        engines.setdefault(step.process, []).append(step.name)
    assert list(engines.values()) == processes.ran
    passes = [(step.name, step.about.split(" in ")[0]) for step in shown.of("reference")]
    assert passes == [(name, runs[0].name.replace("_", " ")) for name, runs in scored.ran]
    floors = [(step.name, int(step.about.split()[0])) for step in shown.of("noise floor")]
    assert floors == [(name, len(runs) - 1) for name, runs in scored.ran if len(runs) > 1]
    # One process of the reference gets ready, while the engines run that all its model's tests need.
    assert scored.ahead_of == scored.ran[: len(scored.ahead_of)]
    assert len(scored.ahead_of) == (scored_with(selected[0]) == selected[0])


def test_a_run_of_every_variant_is_what_is_scheduled(tmp_path: Path) -> None:
    """Of every variant of the catalogue, with jobs that are only noted."""
    model = served()
    processes = Processes()
    prepared: Any = SimpleNamespace(adapter=None, candidate=Checkpoint(tmp_path, QWEN, {}), lengths=LENGTHS)
    subject, settings = Subject("Model", "twin", tmp_path, tmp_path), Settings(configs=tmp_path, device="cpu")
    made = Candidates(model.config, subject, prepared, tmp_path / "traces", settings, cast(Jobs, processes))
    made.make("base", model.config.variant_names)

    assert processes.ran == names(schedule(model, model.config.variant_names))
    assert sum(map(len, processes.ran)) == len(model.config.variant_names)
