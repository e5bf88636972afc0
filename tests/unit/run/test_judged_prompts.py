"""A run `--from` traces says where the YAML has other prompts by now."""

from pathlib import Path

import pytest

from npu_conformance.config.model import load_config
from npu_conformance.config.prompts import load_prompts
from npu_conformance.machine.storage import write_json
from npu_conformance.run.judged_prompts import other_prompts_now
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.saved_runs import reseal

SET = "description: d\nprompts:\n  - {id: one, text: First}\n  - {id: two, text: Second}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with traces of two prompts."""
    configs, traces = tmp_path / "model_configs", tmp_path / "run" / "traces" / "Model"
    (configs / "prompts").mkdir(parents=True)
    (configs / "Model.yaml").write_text("model: a/b\nprompts: [own]\n")
    (configs / "prompts" / "own.yaml").write_text(SET)
    traces.mkdir(parents=True)
    asked = load_prompts(load_config(configs / "Model.yaml").prompts, configs / "prompts")
    rendered = {
        "prompts": [one.model_dump() for one in asked],
        "prompt_ids": [[1], [2]],
        "chat": [False, False],
        "eos_token_ids": [0],
    }
    write_json(traces / "rendered.json", rendered)
    return tmp_path


def told(folder: Path) -> str | None:
    """What is said of the prompts."""
    configs = folder / "model_configs"
    config = load_config(configs / "Model.yaml")
    return other_prompts_now(config, configs / "prompts", folder / "run" / "traces" / "Model")


def test_the_same_prompts_are_not_worth_a_word(folder: Path) -> None:
    """Also of a run that was of fewer on purpose."""
    assert told(folder) is None
    path = folder / "model_configs" / "prompts" / "own.yaml"
    path.write_text(SET + "  - {id: three, text: Third}\n")
    assert told(folder) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SET.replace("Second", "Other"), "own/two was changed"),
        (SET.replace("text: First", "text: First, expect: [x]"), "own/one was changed"),
        (SET.replace("id: one", "id: zero"), "own/one is not there"),
        (SET.rsplit("  - ", 1)[0], "own/two is not there"),
    ],
)
def test_other_prompts_are_said_in_one_line(folder: Path, text: str, said: str) -> None:
    """Which are judged, and the first that differs."""
    (folder / "model_configs" / "prompts" / "own.yaml").write_text(text)
    line = told(folder) or ""

    assert line.startswith("the prompts of the traces are judged, ")
    assert said in line
    assert "\n" not in line


def test_a_run_from_traces_says_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first variant is judged; the traces need not be whole."""
    (folder / "model_configs" / "prompts" / "own.yaml").write_text(SET.replace("Second", "Other"))
    reseal(folder / "run")
    said: list[str] = []
    monkeypatch.setattr(Narrator, "say", lambda _, text: said.append(text))
    session = Session(Settings(folder / "model_configs", from_dir=folder / "run"), folder / "new", Narrator())
    for variant in ("base", "as_served"):
        with pytest.raises(Exception, match="run the model again"):
            session.evidence("Model", variant)

    assert len(said) == 1
    assert said[0].startswith("Model: the prompts of the traces are judged, ")
