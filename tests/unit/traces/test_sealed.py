"""A model's folder of traces that is not as its run left it is refused, by the name of what is wrong."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import write_json
from npu_conformance.traces.sealed import DIGESTS, require_sealed, seal
from npu_conformance.traces.trace import drop_rows
from tests.unit.helpers.small_traces import logits, write_floor, write_trace

VARIANTS = ("base", "as_served")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves of a model in two variants."""
    traces, exact = tmp_path_factory.mktemp("run") / "Model", logits(2, 3)
    for variant in VARIANTS:
        for side in ("candidate", "reference"):
            write_trace(traces / variant / side, exact)
        write_floor(traces / variant, "eager", exact)
    write_json(traces / "subject.json", {"kind": "twin"})
    seal(traces)
    return traces


@pytest.fixture
def traces(saved: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(saved, tmp_path / "Model"))


def test_what_the_run_left_is_taken(traces: Path) -> None:
    """Also of one variant, without another, beside files that nobody reads, and after rows were dropped."""
    require_sealed(traces, VARIANTS)
    (traces / ".DS_Store").write_text("x")
    shutil.rmtree(traces / "as_served")
    require_sealed(traces, VARIANTS)
    assert drop_rows(traces / "base" / "candidate")
    with pytest.raises(TraceError, match="missing"):
        require_sealed(traces, VARIANTS)
    seal(traces)
    require_sealed(traces, VARIANTS)
    assert not any("as_served" in name for name in json.loads((traces / DIGESTS).read_text())["files"])


def test_sealing_again_does_not_hide_a_change(traces: Path) -> None:
    """A later variant's seal adds its files; it does not look at the others'."""
    write_json(traces / "subject.json", {"kind": "real"})
    write_trace(traces / "graph" / "candidate", logits(1, 2))
    seal(traces)

    with pytest.raises(TraceError, match=r"subject\.json: changed since the run"):
        require_sealed(traces, ["graph"])


def forget(traces: Path) -> None:
    """As of an older version's run."""
    (traces / DIGESTS).unlink()


def another_model(traces: Path) -> None:
    """Its whole folder."""
    shutil.move(traces, traces.parent / "Other")
    seal(shutil.copytree(traces.parent / "Other", traces.parent / "Third"))
    shutil.copytree(traces.parent / "Third", traces)


def another_reference(traces: Path) -> None:
    """The floor run in place of the reference's rows."""
    shutil.copyfile(traces / "base" / "candidate" / "0000.npy", traces / "base" / "reference" / "0001.npy")


def pipe(traces: Path) -> None:
    """Which nobody writes to."""
    (traces / "subject.json").unlink()
    os.mkfifo(traces / "subject.json")


def linked(traces: Path) -> None:
    """A part that is elsewhere."""
    (traces / "base" / "second_reference").symlink_to(traces / "base" / "reference")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (forget, r"digests\.json: is missing.*run the model again"),
        (another_model, r"digests\.json: is of Third, expected Model by its folder"),
        (another_reference, r"base/reference/0001\.npy: changed since the run"),
        (pipe, r"subject\.json: changed since the run"),
        (linked, r"base/second_reference: not in .*digests\.json"),
        (lambda traces: (traces / DIGESTS).write_text("[" * 9999), r"digests\.json: "),
        (lambda traces: (traces / DIGESTS).write_text("{}"), r"digests\.json: model: field required"),
        (lambda traces: shutil.rmtree(traces / "base" / "floor"), r"base/floor/eager\.npz: listed in .* and missing"),
        (lambda traces: shutil.rmtree(traces / "base" / "reference"), r"and \d more files: listed in .* and missing"),
    ],
)
def test_what_is_wrong_is_named(traces: Path, change: Callable[[Path], object], told: str) -> None:
    """In one line."""
    change(traces)
    with pytest.raises(TraceError, match=told) as caught:
        require_sealed(traces, VARIANTS)
    assert "\n" not in str(caught.value)


def tamper(traces: Path, chance: random.Random) -> Path:
    """Change one file at random; the file."""
    files = sorted(path for path in traces.rglob("*") if path.is_file())
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    match chance.choice(["flip", "cut", "append", "delete", "rename", "swap"]):
        case "flip":
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
        case "cut":
            path.write_bytes(content[: chance.randrange(len(content))])
        case "append":
            path.write_bytes(content + b"\0")
        case "delete":
            path.unlink()
        case "rename":
            path.rename(path.with_name(f"other{path.suffix}"))
        case _:
            other = chance.choice([one for one in files if one.read_bytes() != path.read_bytes()])
            theirs = other.read_bytes()
            other.write_bytes(content)
            path.write_bytes(theirs)
    return path


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_change_of_a_file_passes(saved: Path, seed: int) -> None:
    """Whichever file, whichever change; a byte of `digests.json` that says the same is none."""
    folder = saved.parent.parent / f"copy{seed}"
    traces = Path(shutil.copytree(saved, folder / "Model"))
    try:
        path = tamper(traces, random.Random(seed))  # noqa: S311
        try:
            require_sealed(traces, VARIANTS)
        except TraceError as error:
            assert str(traces) in str(error)  # noqa: PT017
        else:
            assert path.name == DIGESTS
            assert json.loads(path.read_bytes()) == json.loads((saved / DIGESTS).read_bytes())
    finally:
        shutil.rmtree(folder)
