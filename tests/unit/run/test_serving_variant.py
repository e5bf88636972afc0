"""The variant that is a server: who adds it, and what its job is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.errors import ConfigError
from npu_conformance.run.settings import Settings
from npu_conformance.workers.job import JOB, ServingJob
from tests.unit.helpers.made_candidates import Processes, candidates, on_four_cores
from tests.unit.helpers.tiny_adapters import write_adapter

LORA = "a/lora"


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all of these run."""
    on_four_cores(monkeypatch)


def serving_job(folder: Path, config: dict[str, Any] | None = None, **settings: Any) -> ServingJob:
    """Its job."""
    job = candidates(folder, Processes(), {"variants": ["serving"], **(config or {})}, **settings).job("serving")
    assert isinstance(job, ServingJob)
    assert JOB.validate_json(job.model_dump_json()) == job
    return job


def test_the_command_line_or_the_run_before_adds_it(tmp_path: Path) -> None:
    """Once, and to every model; what was judged so is judged so again."""
    (tmp_path / "One.yaml").write_text("model: a/b\nvariants: [graph]\n")
    (tmp_path / "Two.yaml").write_text("model: a/b\nvariants: [serving]\n")
    (tmp_path / "traces" / "One" / "serving").mkdir(parents=True)
    plain = Settings(tmp_path)
    added = replace(plain, serving=True)

    assert plain.load("One").variant_names == ("base", "as_served", "graph")
    assert added.load("One").variant_names == ("base", "as_served", "graph", "serving")
    assert added.load("Two").variant_names == ("base", "as_served", "serving")
    assert replace(plain, from_dir=tmp_path).load("One").variant_names[-1] == "serving"
    assert "--serving" in added.words()


def test_a_server_is_asked_beside_an_engine_of_vllm(tmp_path: Path) -> None:
    """Only where something asks it."""
    settings = Settings(tmp_path, candidate="vllm", server="http://host:8000")

    replace(settings, serving=True).check()
    with pytest.raises(ConfigError, match="add --candidate openai, or --serving"):
        settings.check()


def test_a_server_that_is_started_has_the_yamls_own_options(tmp_path: Path) -> None:
    """As `as_served` has; under the model's name, or the one that the YAML gives it."""
    config = {"serve": {"max_num_seqs": 4, "enable_prefix_caching": True}, "deadline": 100}
    made = candidates(tmp_path, Processes(), {"variants": ["serving"], **config})
    job = serving_job(tmp_path, config)

    assert job.options == made.job("as_served").options
    assert (job.mode, job.engine, job.server, job.tokens_of) == ("serving", "vllm", None, None)
    assert (job.served_model, job.base_name, job.ready) == ("a/b", "a/b", 75.0)
    named = serving_job(tmp_path, {"served_model_name": "mine"})
    assert (named.served_model, named.base_name) == ("mine", "mine")


def test_a_lora_is_served_beside_its_base(tmp_path: Path) -> None:
    """Each under its own name; the YAML's name is the LoRA's."""
    adapter = write_adapter(tmp_path / "lora", r=12)
    job = serving_job(tmp_path, {"adapter": LORA}, candidate_adapter=adapter)
    named = serving_job(tmp_path, {"adapter": LORA, "served_model_name": "mine"}, candidate_adapter=adapter)

    assert (job.served_model, job.base_name, job.adapter) == (LORA, "a/b", adapter)
    assert job.options["enable_lora"]
    assert (named.served_model, named.base_name) == ("mine", "a/b")


def test_a_server_that_runs_already_is_asked_by_its_own_names(tmp_path: Path) -> None:
    """It needs no device of this machine; what it calls the model it says itself, where nobody else does."""
    job = serving_job(tmp_path, server="http://host:8000", serving=True)
    named = serving_job(tmp_path, server="http://host:8000", served_model="mine", serving=True)

    assert (job.engine, job.server, job.served_model) == ("openai", "http://host:8000", None)
    assert named.served_model == "mine"
