"""From a model and the command line to weights, and tokenizers that do not fit them."""

import json
from pathlib import Path

import pytest

from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.engines.rendering import Rendered, check_token_ids, load_rendered
from npu_conformance.errors import CheckpointError, ConfigError, TraceError, WeightsError
from npu_conformance.progress import Narrator
from npu_conformance.prompts import Prompt
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings


@pytest.fixture
def configs_dir(own_configs: Path) -> Path:
    """One model that is converted from another."""
    (own_configs / "Converted.yaml").write_text("model: org/Converted\nreference: {model: org/Original}\n")
    return own_configs


def put(folder: Path) -> Path:
    """A checkpoint folder there."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
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
