"""A run `--from` a folder that is not what its run left: refused by name; judged only where it fits together."""

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.__main__ import main
from npu_conformance.checks import CHECKS
from npu_conformance.errors import ConformanceError
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.results import Result
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.captured_runs import TRACES
from tests.unit.helpers.saved_runs import CONFIG, reseal, saved_run
from tests.unit.helpers.scenes import clean_scene
from tests.unit.helpers.small_traces import write_floor
from tests.unit.report.test_edited_reports import edit_at_random


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved `run` and the `configs` of its model."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "scene").mkdir()
    saved_run(clean_scene(folder / "scene"), folder)
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(kept, tmp_path / "copy"))


def judged(folder: Path, model: str = "Model") -> list[Result]:
    """What all checks say of base."""
    session = Session(Settings(folder / "configs", from_dir=folder / "run"), folder / "new", Narrator())
    session.expect({model: ("base",)})
    evidence = session.evidence(model, "base")
    return [result for check in CHECKS.values() for result in check.judge(evidence)]


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change what a JSON file says."""
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


def test_the_folder_of_a_run_is_judged(folder: Path) -> None:
    """Nothing is wrong with it."""
    assert {one.verdict for one in judged(folder)} <= {"pass", "inconclusive", "shown", "not_applicable"}


def other_model(folder: Path) -> None:
    """Its traces are another model's, all of them, digests too."""
    shutil.copytree(folder / "run" / TRACES, folder / "run" / "traces" / "Guard")
    (folder / "configs" / "Model.yaml").rename(folder / "configs" / "Guard.yaml")


def other_weights(folder: Path) -> None:
    """The config was renamed for another model."""
    (folder / "configs" / "Model.yaml").write_text(CONFIG.replace("a/b", "a/c"))


def real(folder: Path) -> None:
    """A twin's traces as the model's."""
    edit(folder / "run" / TRACES / "subject.json", lambda one: one.update(kind="twin"))


def flipped(folder: Path) -> None:
    """One bit of the reference's last row."""
    path = folder / "run" / TRACES / "base" / "reference" / "0002.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "model", "told"),
    [
        (other_model, "Guard", r"traces/Guard/digests\.json: is of Model, expected Guard"),
        (other_weights, "Model", r"subject\.json: is of a/b, the model config names a/c"),
        (real, "Model", r"subject\.json: changed since the run"),
        (flipped, "Model", r"base/reference/0002\.npy: changed since the run"),
        (lambda folder: (folder / "run" / TRACES / "subject.json").unlink(), "Model", r"subject\.json: "),
    ],
)
def test_what_is_foreign_or_damaged_is_refused(
    folder: Path, change: Callable[[Path], object], model: str, told: str
) -> None:
    """By name, not skipped."""
    change(folder)
    with pytest.raises(ConformanceError, match=told):
        judged(folder, model)
    session = Session(Settings(folder / "configs", from_dir=folder / "run"), folder / "new", Narrator())
    assert session.why_not(model, "base") is None


def test_a_variant_that_the_run_did_not_select_is_told_with_those_that_it_has(folder: Path) -> None:
    """`as_served` is no skip: a verdict without it would look whole."""
    session = Session(Settings(folder / "configs", from_dir=folder / "run"), folder / "new", Narrator())

    assert session.why_not("Model", "as_served") is None
    with pytest.raises(
        ConformanceError, match=r"no traces of as_served: .* There are those of base: select them by -k"
    ):
        session.evidence("Model", "as_served")


@pytest.mark.parametrize("command", ["compare", "dev suggest"])
def test_other_commands_refuse_it_too(
    folder: Path, kept: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """In one line, before anything is printed."""
    flipped(folder)
    run, configs = str(folder / "run"), str(folder / "configs")
    words = [str(kept / "run"), run] if command == "compare" else ["Model", "--run", run, "--configs", configs]
    assert main([*command.split(), *words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"ERROR: {run}/traces/Model/base/reference/0002.npy: changed since the run")
    assert len(printed.err.splitlines()) == 1


def test_a_wrong_name_gets_the_right_one(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of what the folder has."""
    run = str(kept / "run")
    assert main(["compare", run, run, "--model", "Modle"]) == 4
    assert f"--model Modle: {run} has traces of Model only; did you mean 'Model'?" in capsys.readouterr().err
    assert main(["dev", "suggest", "Modle", "--run", run, "--configs", str(kept / "configs")]) == 4
    assert "did you mean 'Model'?" in capsys.readouterr().err


def reordered(folder: Path) -> None:
    """The prompts, not their answers."""
    edit(folder / "run" / TRACES / "rendered.json", lambda one: one["prompts"].reverse())


def larger(folder: Path) -> None:
    """Rows that would not fit into any memory."""
    path = folder / "run" / TRACES / "base" / "reference" / "0000.npy"
    # In place of spaces, so that the header stays as long.
    path.write_bytes(path.read_bytes().replace(b"(200, 20), }" + b" " * 9, b"(200" + b"0" * 9 + b", 20), }"))


def bomb(folder: Path) -> None:
    """Measured of zeros that pack well."""
    np.savez_compressed(folder / "run" / TRACES / "base" / "floor" / "eager.npz", zeros=np.zeros(10**6))


def exact_floor(folder: Path) -> None:
    """The reference itself in place of a floor run."""
    base = folder / "run" / TRACES / "base"
    reference = load_trace(base / "reference")
    write_floor(base, "eager", [reference.logits(index) for index in range(len(reference.answers))])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (exact_floor, r"floor/eager\.npz: is the reference bit for bit at all 600 positions"),
        (reordered, r"rendered\.json: has other prompts, or in another order, than .*base/candidate"),
        (larger, r"reference/0000\.npy: cannot be read: its header tells of \d+ bytes, 16000 follow"),
        (bomb, r"floor/eager\.npz: cannot be read: its arrays are compressed"),
    ],
)
def test_what_does_not_fit_is_named_though_it_is_sealed(
    folder: Path, change: Callable[[Path], object], told: str
) -> None:
    """Before memory is asked for."""
    change(folder)
    reseal(folder / "run")
    try:
        said = " ".join(one.message or "" for one in judged(folder))
    except ConformanceError as error:
        said = str(error)
    assert re.search(told, said)


def files(folder: Path) -> Iterator[Path]:
    """All that a run left but the digests."""
    yield from sorted(path for path in (folder / "run").rglob("*") if path.is_file() and path.name != "digests.json")


def tamper(folder: Path, chance: random.Random) -> None:
    """Change one file at random, most often a value of a JSON file."""
    there = list(files(folder))
    path = chance.choice([path for path in there if path.suffix == ".json"] if chance.random() < 0.7 else there)
    if path.suffix == ".json" and chance.random() < 0.9:
        edit(path, lambda content: edit_at_random(content, chance))
        return
    content = bytearray(path.read_bytes())
    match chance.randrange(3):
        case 0:
            content[chance.randrange(min(len(content), 300))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
        case 1:
            path.unlink()
        case _:
            path.write_bytes(chance.choice([one for one in there if one.suffix == path.suffix]).read_bytes())


def message_or_verdict(kept: Path, place: Path, seed: int) -> None:
    """Judge a folder that was changed before it was sealed."""
    folder = Path(shutil.copytree(kept, place / "copy", ignore=shutil.ignore_patterns("scene")))
    try:
        tamper(folder, random.Random(seed))  # noqa: S311
        reseal(folder / "run")
        assert judged(folder)
    except ConformanceError as error:
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        shutil.rmtree(folder)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_sealed_folder_is_a_message_or_is_judged(
    kept: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Never a traceback, whoever wrote it."""
    message_or_verdict(kept, tmp_path_factory.mktemp("run"), seed)


@pytest.mark.slow
def test_any_sealed_folder_many_times(kept: Path, tmp_path: Path) -> None:
    """The same, 500 times."""
    for seed in range(500):
        message_or_verdict(kept, tmp_path, seed)
