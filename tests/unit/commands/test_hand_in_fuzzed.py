"""Hand-ins that are damaged in any way: what `verify` says is a message, and never that all is well."""

import gzip
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from npu_conformance.__main__ import main
from npu_conformance.baselines.packed import Packed
from npu_conformance.commands.hand_in.contradictions import contradictions
from npu_conformance.commands.hand_in.data import HandedData, read_data
from npu_conformance.commands.hand_in.deliver import deliver
from npu_conformance.commands.hand_in.manifest import Manifest
from npu_conformance.commands.hand_in.published import DATA
from npu_conformance.commands.hand_in.verify import findings
from npu_conformance.errors import TraceError
from npu_conformance.report.model import Report
from tests.unit.helpers.hand_ins import MODEL, edit_report, judged_run
from tests.unit.helpers.scenes import clean_scene
from tests.unit.report.test_edited_reports import edit_at_random

ODD = (np.nan, np.inf, -np.inf, 0, 6e4, -1e3, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-in, not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "scene").mkdir()
    judged_run(clean_scene(folder / "scene"), folder)
    deliver(MODEL, folder / "out", folder / "run", folder / "configs", None)
    return folder / "out"


def content_of(folder: Path, name: str) -> Any:
    """What a JSON file of a hand-in says."""
    read = gzip.decompress if name == DATA else bytes
    return json.loads(read((folder / name).read_bytes()))


KINDS: dict[str, type[BaseModel]] = {DATA: HandedData, "report.json": Report, "manifest.json": Manifest}


def same(name: str, edited: Any, content: Any) -> bool:
    """Whether an edit says the same in other words, such as a default that was left out."""
    with suppress(ValueError):
        return KINDS[name].model_validate(edited) == KINDS[name].model_validate(content)
    return False


@pytest.mark.parametrize("name", KINDS)
def test_any_edit_does_not_follow(made: Path, tmp_path: Path, name: str) -> None:
    """Exit status 1, at any depth and of any kind; no traceback."""
    folder, content = Path(shutil.copytree(made, tmp_path / "copy")), content_of(made, name)
    for seed in range(6):
        edited = json.loads(json.dumps(content))
        edit_at_random(edited, random.Random(seed))  # noqa: S311
        if same(name, edited, content):
            continue
        text = json.dumps(edited).encode()
        (folder / name).write_bytes(gzip.compress(text, 1) if name == DATA else text)
        assert main(["verify", str(folder)]) == 1


def arrays(content: Any) -> list[dict[str, Any]]:
    """All packed arrays."""
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    if isinstance(content, dict) and content.keys() == {"dtype", "shape", "data"}:
        return [content]
    return [found for one in inner for found in arrays(one)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), odd=st.sampled_from(ODD))
def test_data_with_any_number_are_read_or_refused(
    made: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, odd: float
) -> None:
    """Also sealed anew: no number makes anything else than a message, and what is no number is refused."""
    content, chance = content_of(made, DATA), random.Random(seed)  # noqa: S311
    chosen = chance.choice(arrays(content))
    packed = Packed.model_validate(chosen)
    values = packed.array().copy()
    values.ravel()[chance.randrange(values.size)] = int(np.nan_to_num(odd)) % 2**15 if packed.dtype == "int32" else odd
    chosen.update(Packed.of(values, packed.dtype).model_dump())
    path = tmp_path_factory.mktemp("data") / "data.json.gz"
    path.write_bytes(HandedData.model_validate(content).sealed().packed())
    if not np.isfinite(values).all():
        with pytest.raises(TraceError, match="no number"):
            read_data(path)
        return
    with suppress(TraceError), np.errstate(all="ignore"):  # a token that is none, a length that is another
        assert all("position" in one for one in contradictions(read_data(path)))


def test_a_token_table_of_other_positions_is_told(made: Path, tmp_path: Path) -> None:
    """One that ends earlier, has no words, or marks another position: none of them is an error of the program."""
    tables: list[tuple[Callable[[dict[str, Any]], None], str]] = [
        (shortened, "base: tokens: 599 positions of 5 words, the data have 600"),
        (emptied, "base: tokens: 600 positions of 0 words, the data have 600"),
        (exchanged_marks, "base: marks of tokens: position 3 is not marked as the data give"),
    ]
    for number, (edit, told) in enumerate(tables):
        folder = Path(shutil.copytree(made, tmp_path / str(number)))
        edit_report(folder, partial(of_base, edit))
        assert told in [f"{one.what}: {one.why}" for one in findings(folder) if one.status == "does not follow"]


def of_base(edit: Callable[[dict[str, Any]], None], model: dict[str, Any]) -> None:
    """Edit base's tables."""
    edit(model["variants"][0])


def shortened(details: dict[str, Any]) -> None:
    """Without its last position."""
    table = details["token_rows"]
    details["positions"] -= 1
    for name in ("tokens", "matches"):
        details["prompts"][-1][name] -= 1
    for part, name in (
        *((details, name) for name in ("relative_l2", "floor_l2", "log_probs", "tokens")),
        *((table, name) for name in ("tokens", "kl", "marks")),
    ):
        part[name] = part[name][:-1]
    for name in ("candidate_words", "candidate_logits", "reference_words", "reference_logits"):
        table[name] = table[name][: -table["words"]]


def emptied(details: dict[str, Any]) -> None:
    """Without any word."""
    details["token_rows"]["words"] = 0
    for name in ("candidate_words", "candidate_logits", "reference_words", "reference_logits"):
        details["token_rows"][name] = []


def exchanged_marks(details: dict[str, Any]) -> None:
    """As many are the reference's tokens as before, or one less where all are."""
    marks = details["token_rows"]["marks"]
    at = next((at for at, mark in enumerate(marks) if mark != "="), None)
    whole = marks if at is None else f"{marks[:at]}={marks[at + 1 :]}"
    details["token_rows"]["marks"] = f"{whole[:3]}x{whole[4:]}"
