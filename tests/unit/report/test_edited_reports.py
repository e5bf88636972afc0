"""`npu-conformance report` on a report.json that somebody edited: rendered, or one message that names the key."""

import copy
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.__main__ import main
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.write import write_report
from tests.unit.helpers.report_runs import made_up_runs
from tests.unit.helpers.scenes import clean_scene

Content = dict[str, Any]
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    10**400,
    "NaN",
    "-Infinity",
    "",
    "x" * 5000,
    "\x1b[2J\u202e|<b>",
    [],
    {},
    [[]],
    {"a": 1},
)


BATCH = {"scenario": "nowhere", "where": None, "distance": 0.0} | dict.fromkeys(
    ("prompts", "positions", "different", "flips", "ties"), 1
)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What a made-up run's report.json says."""
    folder = tmp_path_factory.mktemp("scene")
    found: Content = json.loads(made_up_runs(clean_scene(folder), folder).report().model_dump_json())
    return found


def variant(content: Content) -> Content:
    """The first variant of the first model."""
    found: Content = content["models"][0]["variants"][0]
    return found


def rendered(folder: Path, text: str | bytes, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The command's status and its error."""
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    status = main(["report", str(folder)])
    return status, capsys.readouterr().err


def test_what_was_not_edited_is_rendered(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As pages, Markdown and a picture."""
    assert rendered(tmp_path / "run", json.dumps(content), capsys) == (0, "")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "report.json",
        "report.md",
        "report.zh.md",
        "details.md",
        "details.zh.md",
        "Model.md",
        "Model.zh.md",
        "Model.png",
        "Model.html",
        "Model.zh.html",
        "index.html",
        "index.zh.html",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "EOF while parsing"),
        ("garbage", "expected value"),
        ("\ufeff{}", "expected value"),
        ("[]", "object"),
        ("null", "object"),
        ("[" * 3000, "recursion limit"),
        (b"\xff\xfe", "expected value"),
        ("{}", "run: field required"),
        ('{"schema_version": 2}', "has schema 2, this version writes 3"),
    ],
)
def test_what_is_no_report_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, told: str
) -> None:
    """With what to do."""
    status, error = rendered(tmp_path / "run", text, capsys)

    assert status == 1
    assert error.startswith(f"ERROR: {tmp_path / 'run' / 'report.json'}: ")
    assert told in error
    assert error.endswith(f"judge its traces again with `pytest --from {tmp_path / 'run'}`\n")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (lambda one: one.update(more=1), "more: "),
        (lambda one: one["models"][0].update(name="../../x"), "models.0.name: "),
        (lambda one: one["models"][0].update(subject="other"), "models.0.subject: "),
        (lambda one: one["models"][0].update(verdict="fine"), "models.0.verdict: "),
        (
            lambda one: one["models"][0]["checks"][0].update(at="nowhere"),
            "models.0.checks: at nowhere: expected answers",
        ),
        (lambda one: variant(one).update(positions=7), "models.0.variants.0: 7 positions, 600 values of relative_l2"),
        (lambda one: variant(one)["relative_l2"].pop(), "models.0.variants.0: 600 positions, 599 values"),
        (lambda one: variant(one)["prompts"][0].update(first_divergence=900), "models.0.variants.0.prompts.0: "),
        (
            lambda one: variant(one).update(batches=[BATCH]),
            "models.0.variants.0.batches.0.scenario: no scenario: nowhere",
        ),
        (lambda one: variant(one)["candidate"].update(effective="x"), "models.0.variants.0.candidate.effective: "),
    ],
)
def test_what_does_not_fit_is_named(
    content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[Content], object], key: str
) -> None:
    """By its key."""
    edited = copy.deepcopy(content)
    edit(edited)
    status, error = rendered(tmp_path / "run", json.dumps(edited), capsys)

    assert status == 1
    assert f"report.json: {key}" in error
    assert len(error.splitlines()) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a folder read."""
    os.mkfifo(tmp_path / "report.json")
    assert main(["report", str(tmp_path)]) == 1
    assert "it is a named pipe, expected a regular file" in capsys.readouterr().err


def test_a_provenance_that_says_nothing_is_shown_as_such(content: Content) -> None:
    """Of an engine whose trace has none; what it says is not taken for markup."""
    edited = copy.deepcopy(content)
    variant(edited).update(candidate={}, reference={})
    edited["run"]["versions"] = {"to|rch": "2\x1b[2J | <b>"}
    text = render_markdown(Report.model_validate(edited), "en")

    assert "| Device | — | — |" in text
    assert "to\\|rch 2" in text
    assert "\x1b" not in text
    assert "<b>" not in text


def edit_at_random(content: Content, chance: random.Random) -> None:
    """Put something odd in the place of a value, at any depth; or take it away, or add a key."""
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = chance.choice(list(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.15:
            break
        place = inner
    match chance.randrange(4):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place["other"] = chance.choice(ODD)
        case _:
            place[key] = chance.choice(ODD)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_edit_is_a_message_or_is_rendered(
    content: Content, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Never a traceback, and nothing is written beside the folder."""
    edited, folder = copy.deepcopy(content), tmp_path_factory.mktemp("run") / "run"
    edited["models"][0]["variants"][0]["relative_l2"] = []  # drawing takes half a second
    edit_at_random(edited, random.Random(seed))  # noqa: S311
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(edited))
    try:
        assert main(["report", str(folder)]) in (0, 1)
        assert list(folder.parent.iterdir()) == [folder]
    finally:
        shutil.rmtree(folder.parent)


def test_the_report_of_a_run_is_read_back(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `report`, from what the run wrote."""
    write_report(Report.model_validate(content), tmp_path / "run")
    assert main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().err == ""
