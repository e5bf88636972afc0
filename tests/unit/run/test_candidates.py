"""Which engines of a model share a process, in what order they run, and what one that fails costs the others."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import JobError
from npu_conformance.machine.devices import Platform
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.settings import Settings
from npu_conformance.workers.job import CandidateJob, Job, SeriesJob
from npu_conformance.workers.jobs import Jobs

OWN = [
    {"name": "small_blocks", "options": {"block_size": 16}},
    {"name": "left_to_vllm", "options": {"enable_prefix_caching": None}},
]


# A block of 128 tokens takes 28 x 2 x 8 heads x 128 x 2 bytes x 128 = 14 MiB: Qwen3-0.6B.
QWEN = {
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
}
LENGTHS = ((20, 48),) * 10


class Processes:
    """Runs jobs: leaves their folders, until one that is to fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.closing_badly: set[str] = set()
        self.ran: list[list[str]] = []
        """Variants by process."""
        self.names: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.deadlines: list[float] = []

    def run(self, job: Job, name: str, deadline: float, *, environment: dict[str, str]) -> None:
        """As `Jobs` does it."""
        assert isinstance(job, CandidateJob | SeriesJob)
        parts = job.jobs if isinstance(job, SeriesJob) else (job,)
        self.ran.append([part.output.parent.name for part in parts])
        self.names.append(name)
        self.environments.append(environment)
        self.deadlines.append(deadline)
        for place, part in enumerate(parts):
            assert isinstance(part, CandidateJob)
            if part.tokens_of is not None:
                assert part.tokens_of.is_dir(), f"{part.output}: is to take what is not there"
            if part.output.parent.name in self.failing:
                raise JobError(f"{name}: the worker was killed by signal SIGKILL", place)
            part.output.mkdir(parents=True)
            if part.output.parent.name in self.closing_badly:
                raise JobError(f"{name}: the worker was killed by signal SIGKILL", place)


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores and much memory, unless `--device` says otherwise; nothing said in the shell."""

    def find(wanted: Platform | None = None) -> tuple[Platform, int]:
        return wanted or "cpu", 4

    monkeypatch.setattr("npu_conformance.run.candidates.find_devices", find)
    monkeypatch.setattr("npu_conformance.run.room.free_memory", lambda: 64 * 2**30)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)


def candidates(
    tmp_path: Path,
    processes: Processes,
    config: dict[str, Any] | None = None,
    kind: str = "real",
    model: dict[str, Any] | None = None,
    **settings: Any,
) -> Candidates:
    """The engines of a model called Model."""
    weights = Checkpoint(tmp_path / "weights", model or QWEN, {})
    prepared = SimpleNamespace(candidate=weights, adapter=None, lengths=LENGTHS)
    return Candidates(
        ModelConfig.model_validate({"model": "a/b", **(config or {})}),
        Subject("Model", cast(Any, kind), tmp_path, tmp_path),
        cast(Any, prepared),
        tmp_path / "traces",
        Settings(configs=tmp_path, **settings),
        cast(Jobs, processes),
    )


def error_of(made: Candidates, variant: str, others: tuple[str, ...] = ()) -> str:
    """What a variant fails with."""
    with pytest.raises(JobError) as caught:
        made.make(variant, others)
    return str(caught.value)


def test_engines_on_a_cpu_share_a_process(tmp_path: Path) -> None:
    """Base first, whatever was asked for first; those that must not share get one of their own, in order."""
    processes = Processes()
    others = ("as_served", "tp2", "fresh_engine", "prefix_caching", "spec_decode", "small_blocks", "base")
    candidates(tmp_path, processes, {"variants": OWN}).make("as_served", others)

    assert processes.ran == [
        ["base", "as_served", "prefix_caching", "small_blocks"],
        ["tp2"],
        ["fresh_engine"],
        ["spec_decode"],
    ]
    assert processes.names == ["Model base and 3 more", "Model tp2", "Model fresh_engine", "Model spec_decode"]


@pytest.mark.parametrize("settings", [{"device": "npu"}, {"device": "cuda"}, {"candidate": "transformers"}])
def test_elsewhere_each_has_its_own(tmp_path: Path, settings: dict[str, Any]) -> None:
    """On an accelerator only a process's end frees all; transformers has no variants to speak of."""
    processes = Processes()
    candidates(tmp_path, processes, **settings).make("graph", ("as_served", "long_prompt"))

    assert processes.ran == [["base"], ["as_served"], ["long_prompt"], ["graph"]]


def test_a_model_that_is_served_sharded_shares_nothing(tmp_path: Path) -> None:
    """Several ranks are processes of their own."""
    processes = Processes()
    candidates(tmp_path, processes, {"serve": {"tensor_parallel_size": 2}}).make("graph", ("as_served", "base"))

    assert processes.ran == [["base"], ["as_served"], ["graph"]]


def test_each_is_made_once(tmp_path: Path) -> None:
    """Also where it was made on the way to another."""
    processes = Processes()
    made = candidates(tmp_path, processes)
    made.make("base", ("base", "graph"))
    made.make("graph", ("base", "graph"))
    made.make("base", ())
    made.make("tp2", ("base", "graph", "tp2"))
    made.make("as_served", ("as_served", "tp2"))
    made.make("base", ("long_prompt",))

    assert processes.ran == [["base", "graph"], ["tp2"], ["as_served"]]


def test_one_that_shares_nothing_takes_nobody_along(tmp_path: Path) -> None:
    """Those after it share the next process; base comes first also where nobody takes its tokens."""
    processes = Processes()
    made = candidates(tmp_path, processes)
    made.make("base", ("as_served",))
    made.make("tp2", ("tp2", "graph", "long_prompt"))

    assert processes.ran == [["base", "as_served"], ["tp2"], ["graph", "long_prompt"]]


@pytest.mark.parametrize("wanted", ["graph", "as_served"])
def test_what_takes_bases_tokens_needs_base(tmp_path: Path, wanted: str) -> None:
    """Also where nobody asked for it, or only another one takes base's tokens; `as_served` and long texts need none."""
    processes = Processes()
    candidates(tmp_path, processes).make(wanted, ("as_served", "graph"))
    assert processes.ran == [["base", "as_served", "graph"]]

    processes = Processes()
    candidates(tmp_path / "alone", processes).make("as_served", ("as_served", "long_prompt"))
    assert processes.ran == [["as_served", "long_prompt"]]


def test_base_that_fails_takes_its_walkers_along(tmp_path: Path) -> None:
    """Their error names it; what is served runs all the same, and nothing is started that cannot forced decode."""
    processes = Processes("base")
    made = candidates(tmp_path, processes)
    others = ("base", "as_served", "graph", "tp2", "fresh_engine")
    cause = "Model base: the worker was killed by signal SIGKILL"

    assert error_of(made, "base", others) == cause
    made.make("as_served", others)
    for variant in ("graph", "tp2", "fresh_engine"):
        expected = f"Model {variant}: not run: it is compared with base, and base failed: {cause}"
        assert error_of(made, variant, others) == expected
    assert processes.ran == [["base", "as_served", "graph"], ["as_served"]]


def test_base_that_failed_before_is_not_tried_again(tmp_path: Path) -> None:
    """Nor is a variant started that comes later."""
    processes = Processes("base")
    made = candidates(tmp_path, processes)
    error_of(made, "base")

    assert "it is compared with base" in error_of(made, "graph")
    assert error_of(made, "graph") == error_of(made, "graph")
    assert processes.ran == [["base"]]


def test_one_that_fails_in_a_series(tmp_path: Path) -> None:
    """Is named itself; those before it are kept, those after it run in a new process, before what waits."""
    processes = Processes("graph")
    made = candidates(tmp_path, processes)
    others = ("base", "as_served", "graph", "tp2", "prefix_caching", "long_prompt")
    made.make("base", others)

    assert processes.ran == [
        ["base", "as_served", "graph", "prefix_caching", "long_prompt"],
        ["prefix_caching", "long_prompt"],
        ["tp2"],
    ]
    assert error_of(made, "graph", others) == "Model graph: the worker was killed by signal SIGKILL"
    for variant in others:
        if variant != "graph":
            made.make(variant, others)
    assert len(processes.ran) == 3


def test_several_that_fail_in_a_series(tmp_path: Path) -> None:
    """One process more each; the last of a series leaves nothing to run again."""
    processes = Processes("as_served", "graph", "long_prompt")
    made = candidates(tmp_path, processes)
    others = ("base", "as_served", "graph", "prefix_caching", "long_prompt")
    made.make("base", others)

    assert processes.ran == [list(others), list(others[2:]), list(others[3:])]
    for variant in ("as_served", "graph", "long_prompt"):
        assert error_of(made, variant) == f"Model {variant}: the worker was killed by signal SIGKILL"


@pytest.mark.parametrize("last", ["base", "graph", "long_prompt"])
def test_an_engine_that_fails_while_it_closes(tmp_path: Path, last: str) -> None:
    """Its trace is whole, so nobody is to blame; what was to come after it runs in another process."""
    made = candidates(tmp_path, processes := Processes())
    processes.closing_badly = {last}
    others = ("base", "as_served", "graph", "long_prompt")
    for variant in others:
        made.make(variant, others)

    rest = list(others[others.index(last) + 1 :])
    assert processes.ran == [list(others), *([rest] if rest else [])]


@pytest.mark.parametrize(
    ("variant", "mode", "tokens_of"),
    [
        ("base", "generate", False),
        ("as_served", "generate", False),
        ("graph", "forced", True),
        ("small_blocks", "forced", True),
        ("prefix_caching", "forced warm", True),
        ("long_prompt", "forced long", False),
        ("left_to_vllm", "forced warm", True),
        ("spec_decode", "tokens only", False),
    ],
)
def test_what_a_variant_does(tmp_path: Path, variant: str, mode: str, tokens_of: bool) -> None:
    """A cache that is on is warmed first, also where it is on because vLLM's own default is."""
    job = candidates(tmp_path, Processes(), {"variants": OWN}).job(variant)
    traces = tmp_path / "traces"

    assert job.output == traces / variant / "candidate"
    assert (job.mode, job.tokens_of) == (mode, traces / "base" / "candidate" if tokens_of else None)
    assert (job.rendered, job.checkpoint) == (traces / "rendered.json", tmp_path / "weights")
    assert job.layer_prompts == (8 if variant == "base" else 0)
    assert not job.tight_cache
    assert job.options.get("block_size") == (16 if variant == "small_blocks" else None)


def test_preemption_needs_a_tight_cache(tmp_path: Path) -> None:
    """Or nothing is preempted."""
    assert candidates(tmp_path, Processes()).job("preemption").tight_cache


def test_what_a_job_takes_from_config_and_command_line(tmp_path: Path) -> None:
    """All that decides about the engine, and the LoRA with room for its rank."""
    adapter = tmp_path / "lora"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 12}))
    config = {"max_tokens": 7, "chat_template_kwargs": {"thinking": False}, "serve": {"trust_remote_code": True}}
    job = candidates(tmp_path, Processes(), config, device="npu", candidate_adapter=adapter).job("tp2")

    assert (job.engine, job.device, job.max_tokens, job.trust_remote_code) == ("vllm", "npu", 7, True)
    assert job.chat_template_kwargs == {"thinking": False}
    assert job.adapter == adapter
    added = {"enable_lora": True, "max_lora_rank": 16, "max_loras": 1, "tensor_parallel_size": 2}
    assert job.options | added == job.options


def test_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine inline, the config's own variables, a KV cache on a CPU, and a core for each of several ranks."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    processes = Processes()
    config = {"envs": {"OWN": "1", "VLLM_NO_USAGE_STATS": "0"}}
    candidates(tmp_path, processes, config).make("tp2", ())
    plain, sharded = processes.environments

    assert plain == {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "0",
        "HF_HUB_OFFLINE": "1",
        "OWN": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    assert sharded.keys() - plain.keys() == {"VLLM_CPU_OMP_THREADS_BIND"}
    npu = candidates(tmp_path, Processes(), device="npu").environment({"tensor_parallel_size": 2})
    assert not {"VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_KVCACHE_SPACE"} & npu.keys()


def test_transformers_on_a_cpu_takes_the_hosts_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascend's images say one; it has no ranks to bind."""
    monkeypatch.setattr("npu_conformance.run.candidates.host_cores", lambda _: 3)
    made = candidates(tmp_path, Processes(), candidate="transformers").environment({"tensor_parallel_size": 2})

    assert made["OMP_NUM_THREADS"] == "3"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in made


def test_ranks_are_spawned_unless_the_config_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this shell says is not asked: an NPU cannot be initialised again in a forked process."""
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")
    told, processes = {"envs": {"VLLM_WORKER_MULTIPROC_METHOD": "fork"}}, Processes()
    candidates(tmp_path, processes, told).make("tp2", ())
    ours = candidates(tmp_path, Processes(), device="npu").environment({"tensor_parallel_size": 2})

    assert ours["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert processes.environments[-1]["VLLM_WORKER_MULTIPROC_METHOD"] == "fork"


@pytest.mark.parametrize(("deadline", "expected"), [(None, 77), (5.0, 5.0)])
def test_deadlines(tmp_path: Path, deadline: float | None, expected: float) -> None:
    """The command line's before the config's."""
    processes = Processes()
    candidates(tmp_path, processes, {"deadline": 77}, deadline=deadline).make("base", ())

    assert processes.deadlines == [expected]
