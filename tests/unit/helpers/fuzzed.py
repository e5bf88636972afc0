"""Kinds of input that people hand in: a valid one, and the entry points that read it, in this process."""

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from npu_conformance.__main__ import main
from npu_conformance.checks import CHECKS
from npu_conformance.measure.results import Result
from npu_conformance.report.model import build_report, describe_run
from npu_conformance.report.write import write_report
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.captured_runs import capture_folder
from tests.unit.helpers.quantised_checkpoints import save_fp8
from tests.unit.helpers.report_runs import tell_provenance
from tests.unit.helpers.saved_runs import reseal
from tests.unit.helpers.scenes import clean_scene
from tests.unit.helpers.tiny_adapters import write_adapter
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

Drive = Callable[[Path, Random], int]
MODEL = "Model"
_CONFIG: dict[str, Any] = LLAMA | {
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 1024},
    "layer_types": ["full_attention", "sliding_attention"] * 2,
    "sliding_window": 512,
}  # fmt: skip
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_SMALL: dict[str, Any] = {
    "generation_config.json": {"eos_token_id": [2, 3], "do_sample": True, "temperature": 0.6, "top_p": 0.9},
    "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False},
        "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
        "added_tokens_decoder": {"2": {"content": "</s>", "special": True}},
        "model_max_length": 4096,
    },
    "tokenizer.json": {
        "version": "1.0",
        "added_tokens": [{"id": 2, "content": "</s>", "special": True, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False}],
        "normalizer": None, "pre_tokenizer": _BYTES, "post_processor": None, "decoder": _BYTES,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "</s>": 2, "ab": 3}, "merges": [["a", "b"]]},
    },
    "special_tokens_map.json": {"eos_token": "</s>"},
}  # fmt: skip
_YAML = """\
model: org/Model
hardware: Atlas 800 A2
twin: qwen3-fp8
convert: bfloat16
serve: {dtype: bfloat16, max_model_len: 8192, max_num_seqs: 16, tensor_parallel_size: 1, engine_args: {seed: 0}}
envs: {VLLM_USE_V1: '1'}
variants: [graph, tp2]
prompts: [general, {set: code, chat: false}, own]
max_tokens: 32
labels: {pattern: 'Safety: (?P<label>\\w+)'}
limits: {relative_l2_mean: {value: 0.03, reason: measured on a twin}}
"""
_SET = """\
description: of this test
prompts:
  - {id: one, text: First, expect: [x]}
  - {id: two, text: Second, labels: {label: Safe}}
  - {id: three, text: Third}
"""


@dataclass(frozen=True)
class Kind:
    """Something that a person hands in."""

    make: Callable[[Path], object]
    """Writes a valid one into an empty folder."""
    files: tuple[str, ...]
    """Patterns of those that are changed."""
    drive: Drive
    """Reads it as the command line does; its exit status. Raises nothing but the suite's own errors."""


def run(*words: str | Path) -> int:
    """A command, in this process."""
    return main([str(word) for word in words])


def _checkpoint(folder: Path) -> None:
    write(folder / "model", _CONFIG, llama())
    for name, content in _SMALL.items():
        (folder / "model" / name).write_text(json.dumps(content), encoding="utf-8")
    configs = folder / "model_configs"
    configs.mkdir()
    (configs / "Model.yaml").write_text("model: org/Model\nserve: {tensor_parallel_size: 1}\n")
    (folder / "root" / "org").mkdir(parents=True)
    (folder / "root" / "org" / "Model").symlink_to(folder / "model")


def _indexed(folder: Path) -> None:
    _checkpoint(folder)
    model, names = folder / "model", list(llama())
    (model / "model.safetensors").unlink()
    shards = {f"model-0000{part + 1}-of-00002.safetensors": names[part::2] for part in range(2)}
    for shard, part in shards.items():
        write(model, _CONFIG, {name: llama()[name] for name in part}, shard)
    (model / "tokenizer.json").write_text(json.dumps(_SMALL["tokenizer.json"]))
    index = {
        "metadata": {"total_size": 1},
        "weight_map": {one: shard for shard, part in shards.items() for one in part},
    }
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def _quantised(folder: Path) -> None:
    save_fp8(folder / "model")


def _yamls(folder: Path) -> None:
    (folder / "model_configs" / "prompts").mkdir(parents=True)
    (folder / "model_configs" / "Model.yaml").write_text(_YAML)
    (folder / "model_configs" / "Other.yaml").write_text("model: org/Other\n")
    (folder / "model_configs" / "prompts" / "own.yaml").write_text(_SET)


def _saved_run(folder: Path) -> None:
    """A judged run and its report."""
    (folder / "scene").mkdir()
    scene = clean_scene(folder / "scene")
    tell_provenance(scene)
    saved = folder / "run"
    for role in ("candidate", "reference"):
        capture_folder(scene, folder / role, role)
        shutil.copytree(folder / role / "traces", saved / "traces", dirs_exist_ok=True)
        shutil.rmtree(folder / role)
    shutil.rmtree(folder / "scene")
    (folder / "model_configs").mkdir()
    (folder / "model_configs" / "Model.yaml").write_text("model: a/b\nprompts: [own]\n")
    (folder / "model_configs" / "prompts").mkdir()
    (folder / "model_configs" / "prompts" / "own.yaml").write_text(_SET)
    reseal(saved)
    judge_saved(folder, saved)
    shutil.copytree(saved, folder / "earlier")


def judge_saved(folder: Path, output: Path) -> int:
    """What `pytest --from` does with a run's folder, and the report of it."""
    session = Session(Settings(folder / "model_configs", from_dir=folder / "run"), output, Narrator())
    session.expect({MODEL: ("base",)})
    evidence = session.evidence(MODEL, "base")
    results: list[Result] = [result for check in CHECKS.values() for result in check.judge(evidence)]
    told = describe_run("pytest", folder, folder / "run")
    write_report(
        build_report(output, {MODEL: results}, {MODEL: session.kind(MODEL)}, told, folder / "baselines"), output
    )
    return 0


def _doctor(folder: Path, rng: Random) -> int:
    if rng.random() < 0.3:
        place = ("--models-root", folder / "root", "--reports", folder, "--device", "cpu")
        return run("doctor", MODEL, "--configs", folder / "model_configs", *place)
    return run("doctor", folder / "model", *rng.choice(((), (), ("--json",), ("--fix-config",), ("--digests",))))


def _convert(folder: Path, rng: Random) -> int:
    return (
        run("doctor", folder / "model")
        if rng.random() < 0.5
        else run("dev", "convert", folder / "model", folder / "converted")
    )


def _check(folder: Path, rng: Random) -> int:
    return run(*rng.choice((("check",), ("check", MODEL), ("dev", "matrix"))), "--configs", folder / "model_configs")


def _from(folder: Path, rng: Random) -> int:
    if rng.random() < 0.7:  # else the digests say that it was changed
        with contextlib.suppress(OSError, ValueError):  # of pipes and links no run leaves digests
            reseal(folder / "run")
    act = rng.randrange(4)
    if act == 0:
        return run("compare", folder / "earlier", folder / "run")
    if act == 1:
        return run("dev", "suggest", MODEL, folder / "run", "--configs", folder / "model_configs")
    return judge_saved(folder, folder / "new")


KINDS: dict[str, Kind] = {
    "yaml": Kind(
        _yamls, ("model_configs/Model.yaml", "model_configs/Model.yaml", "model_configs/prompts/own.yaml"), _check
    ),
    "config": Kind(_checkpoint, ("model/*.json", "model/config.json"), _doctor),
    "header": Kind(_checkpoint, ("model/*.safetensors",), _doctor),
    "index": Kind(_indexed, ("model/*.index.json", "model/*.index.json", "model/*.safetensors"), _doctor),
    "quantised": Kind(_quantised, ("model/config.json", "model/*.safetensors"), _convert),
    "adapter": Kind(
        lambda folder: write_adapter(folder / "model"),
        ("model/adapter_config.json", "model/*.safetensors"),
        lambda folder, rng: run("doctor", folder / "model", *rng.choice(((), ("--json",)))),
    ),
    "traces": Kind(_saved_run, ("run/traces/**/*.json", "run/traces/**/*.json", "run/traces/**/*.np*"), _from),
    "report": Kind(_saved_run, ("run/report.json",), lambda folder, _: run("report", folder / "run")),
}
