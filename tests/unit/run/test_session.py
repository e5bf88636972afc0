"""From a model and the command line to weights, and tokenizers that do not fit them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from npu_conformance.__main__ import main
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.config.prompts import SHIPPED, Prompt
from npu_conformance.engines.rendering import Rendered, check_token_ids, load_rendered
from npu_conformance.errors import CheckpointError, ConfigError, ConformanceError, JobError, TraceError, WeightsError
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator


@pytest.fixture
def configs_dir(own_configs: Path) -> Path:
    """One model that is converted from another."""
    (own_configs / "Converted.yaml").write_text("model: org/Converted\nreference: {model: org/Original}\n")
    return own_configs


def put(folder: Path) -> Path:
    """A checkpoint folder there."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["A"]}')
    return folder


def session(configs_dir: Path, tmp_path: Path, candidate_weights: Path | None = None) -> Session:
    """A session that looks for weights in this test's folder."""
    settings = Settings(configs=configs_dir, models_root=tmp_path / "models", candidate_weights=candidate_weights)
    return Session(settings, tmp_path, Narrator())


def test_the_reference_may_be_other_weights(configs_dir: Path, tmp_path: Path) -> None:
    """The original of a converted checkpoint."""
    converted, original = (put(tmp_path / "models" / "org" / name) for name in ("Converted", "Original"))
    subject = session(configs_dir, tmp_path).subject("Converted")

    assert (subject.candidate, subject.reference, subject.kind) == (converted, original, "real")


def test_candidate_weights_leave_the_reference_alone(configs_dir: Path, tmp_path: Path) -> None:
    """Any checkpoint folder is judged against the config's reference."""
    original = put(tmp_path / "models" / "org" / "Original")
    subject = session(configs_dir, tmp_path, tmp_path / "mine").subject("Converted")

    assert (subject.candidate, subject.reference) == (tmp_path / "mine", original)


def test_the_reference_is_needed_too(configs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is the one named as missing."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "none"))
    put(tmp_path / "models" / "org" / "Converted")

    with pytest.raises(WeightsError, match="no weights of org/Original"):
        session(configs_dir, tmp_path).subject("Converted")


def test_an_error_is_raised_again_not_worked_out_again(configs_dir: Path, tmp_path: Path) -> None:
    """The same message for each of a model's tests."""
    (configs_dir / "Converted.yaml").write_text("modl: x/y\n")
    own = session(configs_dir, tmp_path)
    errors = []
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            own.config("Converted")
        errors.append(caught.value)

    assert errors[0] is errors[1]


def test_a_tokenizer_of_another_model_is_named(tmp_path: Path) -> None:
    """Before an engine reads outside its embedding."""
    prompt = Prompt(id="set/one", text="x", chat=False)
    rendered = Rendered(prompts=(prompt,), prompt_ids=((3, 99, 4),), chat=(False,), eos_token_ids=(0,))

    check_token_ids(Checkpoint(tmp_path, {"vocab_size": 100}, {}), rendered)
    with pytest.raises(CheckpointError, match=r"id 99 in prompt set/one, .* vocab_size 90: the tokenizer is another"):
        check_token_ids(Checkpoint(tmp_path, {"text_config": {"vocab_size": 90}}, {}), rendered)


def test_the_command_line_can_be_written_again(configs_dir: Path) -> None:
    """It is how a failure is reproduced."""
    settings = Settings(configs=configs_dir, twin=True, prompts=12, device="cpu", candidate_weights=Path("/w"))

    assert settings.words() == ["--twin", "--device=cpu", "--candidate-weights=/w", "--prompts=12"]
    assert Settings(configs=configs_dir).words() == []


def test_transformers_has_no_serve_options(configs_dir: Path, tmp_path: Path) -> None:
    """as_served would be base again and is not passed off as more."""
    put(tmp_path / "models" / "org" / "Converted")
    put(tmp_path / "models" / "org" / "Original")
    settings = Settings(configs=configs_dir, models_root=tmp_path / "models", candidate="transformers")
    own = Session(settings, tmp_path, Narrator())

    assert own.why_not("Converted", "base") is None
    assert "not applicable" in (own.why_not("Converted", "as_served") or "")
    assert "not applicable" in (own.why_not("Converted", "serving") or "")


def test_a_server_is_judged_as_one_too(configs_dir: Path, tmp_path: Path) -> None:
    """Of all variants that one alone says something of it."""
    put(tmp_path / "models" / "org" / "Converted")
    put(tmp_path / "models" / "org" / "Original")
    told: dict[str, Any] = {
        "models_root": tmp_path / "models",
        "candidate": "openai",
        "server": "http://host",
        "serving": True,
    }
    own = Session(Settings(configs=configs_dir, **told), tmp_path, Narrator())

    assert own.variants("Converted")[-1] == "serving"
    assert own.why_not("Converted", "serving") is None
    assert "not applicable" in (own.why_not("Converted", "as_served") or "")


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "other"}'])
def test_a_damaged_report_folder_is_named(configs_dir: Path, tmp_path: Path, text: str) -> None:
    """Under --from."""
    saved = tmp_path / "run" / "traces" / "Converted" / "subject.json"
    saved.parent.mkdir(parents=True)
    saved.write_text(text)
    own = Session(Settings(configs=configs_dir, from_dir=tmp_path / "run"), tmp_path, Narrator())

    with pytest.raises(TraceError, match=r"subject\.json: .*run the model again"):
        own.subject("Converted")


def test_rendered_prompts_are_json(tmp_path: Path) -> None:
    """They are kept beside the traces."""
    content = {
        "eos_token_ids": [0],
        "prompts": [{"id": "a/b", "text": "t", "chat": True, "expect": ["x"], "labels": {}}],
        "prompt_ids": [[1, 2]],
        "chat": [False],
    }
    (tmp_path / "rendered.json").write_text(json.dumps(content))
    rendered = load_rendered(tmp_path / "rendered.json")

    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(TraceError, match=r"damaged\.json"):
        load_rendered(tmp_path / "damaged.json")
    assert rendered.prompts[0].expect == ("x",)
    assert (rendered.prompt_ids, rendered.chat) == (((1, 2),), (False,))


def test_a_variant_that_was_skipped_is_skipped_again(configs_dir: Path, tmp_path: Path) -> None:
    """Under --from; but not base, without whose traces nothing was judged."""
    (configs_dir / "Converted.yaml").write_text("model: org/Converted\nvariants: [tp4]\n")
    saved = tmp_path / "run" / "traces" / "Converted"
    (saved / "tp2").mkdir(parents=True)
    (saved / "subject.json").write_text('{"kind": "twin"}')
    own = Session(Settings(configs=configs_dir, from_dir=tmp_path / "run"), tmp_path, Narrator())

    assert own.variants("Converted") == ("base", "as_served", "tp4")
    assert "no traces of Converted in tp4" in (own.why_not("Converted", "tp4") or "")
    assert own.why_not("Converted", "tp2") is None
    assert own.why_not("Converted", "base") is None


def test_more_ranks_than_devices_skip(configs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number of both."""
    monkeypatch.setattr("npu_conformance.run.lacking.find_devices", lambda _: ("npu", 2))
    for name in ("Converted", "Original"):
        put(tmp_path / "models" / "org" / name)
    own = session(configs_dir, tmp_path)

    assert own.why_not("Converted", "tp2") is None
    assert own.why_not("Converted", "tp4") == "tp4 needs 4 devices, 2 of platform npu are here"


def test_a_config_that_cannot_be_read_does_not_lack_experts(
    configs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variant is not skipped: its tests say what is wrong with the file. One without experts is skipped."""
    monkeypatch.setattr("npu_conformance.run.lacking.find_devices", lambda _: ("npu", 2))
    (configs_dir / "Experts.yaml").write_text("model: org/Experts\nvariants: [ep]\n")
    config = put(tmp_path / "models" / "org" / "Experts") / "config.json"
    assert session(configs_dir, tmp_path).why_not("Experts", "ep") == "ep: the model has no experts"
    config.write_text("{")
    assert session(configs_dir, tmp_path).why_not("Experts", "ep") is None


@pytest.mark.parametrize("text", ["{", '{"architectures": ["A"], "max_position_embeddings": [1]}'])
def test_a_damaged_config_does_not_end_the_collection(configs_dir: Path, tmp_path: Path, text: str) -> None:
    """Its own tests say what is wrong with it."""
    (configs_dir / "Converted.yaml").write_text("model: org/Converted\nvariants: [long_prompt]\n")
    put(tmp_path / "models" / "org" / "Converted").joinpath("config.json").write_text(text)
    own = session(configs_dir, tmp_path)

    assert own.why_not("Converted", "base") is None
    assert own.why_not("Converted", "long_prompt") is None


@pytest.mark.parametrize(
    ("config", "passes"),
    [
        ("{}", 2),
        ("{adapter: org/LoRA}", 4),
        ("{variants: [chunked_prefill]}", 3),
        ("{variants: [lora_of_the_moon]}", 0),
        ("{prompts: [nowhere]}", 0),
    ],
)
def test_models_with_more_to_compute_are_known(configs_dir: Path, tmp_path: Path, config: str, passes: int) -> None:
    """So that the longest is begun first; base and as_served are a pass over the prompts each, with a LoRA two."""
    changes = {"model": "org/Other", "prompts": ["condense"]} | yaml.safe_load(config)
    (configs_dir / "Other.yaml").write_text(yaml.safe_dump(changes))
    put(tmp_path / "models" / "org" / "Other")
    (put(tmp_path / "models" / "org" / "LoRA") / "adapter_config.json").write_text("{}")
    prompts = yaml.safe_load((SHIPPED / "condense.yaml").read_text())["prompts"]

    assert session(configs_dir, tmp_path).work("Other") == passes * len(prompts)


@pytest.mark.parametrize(("longest", "room"), [(512, False), (4096, True)])
def test_long_texts_need_room(configs_dir: Path, tmp_path: Path, longest: int, room: bool) -> None:
    """Also where only the weights say how long a request may be."""
    (configs_dir / "Converted.yaml").write_text("model: org/Converted\nvariants: [long_prompt]\n")
    config = put(tmp_path / "models" / "org" / "Converted") / "config.json"
    config.write_text(json.dumps({"architectures": ["A"], "max_position_embeddings": longest}))
    why = session(configs_dir, tmp_path).why_not("Converted", "long_prompt")

    assert why == (None if room else f"long_prompt: a longest request of {longest} tokens has no room for its texts")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": 0}, "--prompts 0: at least 1 is needed"),
        ({"prompts": -1}, "--prompts -1: at least 1 is needed"),
        ({"deadline": 0.0}, "--deadline 0: expected seconds, more than 0, at most 2592000 (30 days)"),
        ({"deadline": float("nan")}, "--deadline nan: expected seconds, more than 0, at most 2592000 (30 days)"),
        ({"models_root": Path("/nowhere")}, "--models-root /nowhere: no such folder"),
        ({"reference_python": Path("/nowhere")}, "--reference-python /nowhere: no such interpreter"),
    ],
)
def test_what_the_command_line_names_must_be_there(configs_dir: Path, changes: dict[str, Any], message: str) -> None:
    """Of pytest and of `bisect`."""
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        Settings(configs_dir, **changes).check()


def test_bisect_refuses_what_pytest_refuses(configs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts."""
    assert main(["bisect", "Converted", "--configs", str(configs_dir), "--prompts", "0"]) == 4
    assert capsys.readouterr().err == "ERROR: --prompts 0: at least 1 is needed\n"


def test_what_is_asked_for_together_is_made_together(
    configs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines of a model's variants, twins of all models; and they share the rate of false alarms."""
    asked: list[tuple[str, ...]] = []

    def no_twins(models: tuple[str, ...]) -> dict[str, ConformanceError]:
        asked.append(models)
        return {"qwen3-guard": JobError("no memory")}

    (configs_dir / "Twin.yaml").write_text("model: a/Twin\ntwin: qwen3-guard\nprompts: [general]\n")
    one = Session(Settings(configs_dir, twin=True), tmp_path, Narrator())
    one.expect({"Twin": ("base", "as_served", "graph"), "Qwen": ("base",)})
    monkeypatch.setattr(one, "why_not", lambda _model, variant: "no graphs" if variant == "graph" else None)
    monkeypatch.setattr(one, "_build_twins", no_twins)

    assert one._judged == ["base", "as_served", "base"]
    assert one._group("Twin", "base") == ("base", "as_served")
    with pytest.raises(JobError, match="no memory"):
        one.model_run("Twin")
    assert asked == [("Twin", "Qwen")]
