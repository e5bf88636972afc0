"""Two runs held against each other: what got worse is found, what did not is not, and too little says nothing."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands.compare.runs import SavedRun, pair
from npu_conformance.machine.storage import write_json
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import PREFILL, load_trace
from tests.unit.helpers.saved_runs import reseal
from tests.unit.helpers.small_traces import logits, moved, write_trace

Runs = Sequence[Rows]


def rounded(exact: Runs, size: float = 0.005, seed: int = 0) -> list[Rows]:
    """A floor run whose error is another size in each prompt, and the same sizes in every floor run."""
    sizes = size * np.exp(np.random.default_rng(7).normal(0, 0.3, len(exact)))
    scatter = np.random.default_rng(seed).normal(0, 0.1, len(exact))
    return [
        moved(one, float(by * np.exp(more)), 1000 * seed + index)
        for index, (one, by, more) in enumerate(zip(exact, sizes, scatter, strict=True))
    ]


def report(
    folder: Path, exact: Runs, run: Runs, *, model: str = "Model", variant: str = "base", prefill: Runs | None = None
) -> Path:
    """A report folder with the traces of a run whose tokens are its own; more of them may be added."""
    place = folder / "traces" / model / variant
    tokens = [tuple(rows.argmax(axis=1).tolist()) for rows in run]
    candidate = write_trace(place / "candidate", run, forced=False)
    write_trace(place / "reference", exact, tokens=tokens)
    if prefill is not None:
        write_trace(candidate / PREFILL, prefill, tokens=tokens)
    describe(folder, model)
    return folder


def describe(folder: Path, model: str = "Model", **facts: Any) -> None:
    """What the weights of a run are."""
    write_json(folder / "traces" / model / "subject.json", {"kind": "twin", "weights_digest": "d1"} | facts)


def tell(trace: Path, **changes: Any) -> None:
    """Change a trace's file."""
    path = trace / "trace.json"
    write_json(path, json.loads(path.read_text()) | changes)


def compared(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """The command's status, and what it printed."""
    for folder in words[:2]:
        reseal(Path(folder))
    status = main(["compare", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_a_larger_error_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the path that has it, with the place where it grew most."""
    exact = logits(30, 10)
    bad = rounded(exact, 0.0075, 2)
    bad[4][6] = moved(exact[4][6:7], 0.2)[0]
    before = report(tmp_path / "a", exact, rounded(exact, seed=1), prefill=rounded(exact, seed=3))
    after = report(tmp_path / "b", exact, bad, prefill=rounded(exact, seed=4))
    status, text = compared(capsys, before, after)

    assert status == 1
    assert "Model base: worse: the error in decode grew by more than 1.1 times (p " in text
    assert "in prefill grew" not in text
    assert "set/4, position 6: error 0.00" in text
    assert compared(capsys, after, before)[0] == 0


def test_prefill_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Decode is as it was."""
    exact = logits(30, 10)
    before = report(tmp_path / "a", exact, rounded(exact, seed=1), prefill=rounded(exact, seed=3))
    after = report(tmp_path / "b", exact, rounded(exact, seed=2), prefill=rounded(exact, 0.0075, 4))
    status, text = compared(capsys, before, after)

    assert status == 1
    assert "Model base: worse: the error in prefill grew by more than 1.1 times (p " in text


@pytest.mark.parametrize("same", [True, False])
def test_an_equal_run_is_no_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str], same: bool) -> None:
    """Bit for bit the same, or another floor run."""
    exact = logits(30, 10)
    before = report(tmp_path / "a", exact, rounded(exact, seed=1))
    after = report(tmp_path / "b", exact, rounded(exact, seed=1 if same else 2))
    status, text = compared(capsys, before, after)

    assert status == 0
    assert "Model base: no worse" in text


def test_too_few_prompts_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two prompts are too few for anything; of five that scatter it says how many would do."""
    exact = logits(5, 6)
    before = report(tmp_path / "a", exact, [moved(one, 0.005 * (1 + n % 2), n) for n, one in enumerate(exact)])
    after = report(tmp_path / "b", exact, [moved(one, 0.005 * (1 + n % 3), 9 + n) for n, one in enumerate(exact)])
    status, text = compared(capsys, before, after)
    assert status == 0
    assert "Model base: inconclusive: 5 prompts cannot tell whether the error in decode grew by more than 1.1" in text
    assert (needed := re.search(r": about (\d+) prompts would", text)) is not None
    assert int(needed[1]) > 5

    few = [report(tmp_path / name, exact[:2], rounded(exact[:2], size)) for name, size in (("c", 0.005), ("d", 0.05))]
    status, text = compared(capsys, *few)
    assert status == 0
    assert "inconclusive: 2 prompts in both: at least 3 are needed" in text


def test_logits_that_are_not_finite_any_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Are worse; where they were not before, nothing can be said."""
    exact = logits(5, 6)
    bad = rounded(exact, seed=2)
    bad[3][2, 5] = np.nan
    before = report(tmp_path / "a", exact, rounded(exact, seed=1))
    after = report(tmp_path / "b", exact, bad)

    status, text = compared(capsys, before, after)
    assert status == 1
    assert "worse: logits are not finite any more" in text
    assert "set/3, position 2: error" in text
    status, text = compared(capsys, after, before)
    assert status == 1
    assert "ERROR" in text
    assert "not compared: the logits of decode before are not all finite (Model base)" in text


def test_positions_count_while_the_tokens_are_the_same(tmp_path: Path) -> None:
    """Up to and including the first that gives another token, and no further than either answer is judged."""
    exact = logits(3, 6)
    run = [rows.copy() for rows in exact]
    run[1][2, 1 + (int(run[1][2].argmax()) % 11)] = 20  # another token from the third position on
    before = report(tmp_path / "a", exact, exact)
    after = report(tmp_path / "b", exact, run)
    two = pair(SavedRun(before, "Model", "base"), SavedRun(after, "Model", "base"))

    assert two.alike == (6, 3, 6)
    assert two.turned.tolist() == [0] * 8 + [1] + [0] * 6
    assert two.worst(1)[0][:2] == (1, 2)
    assert [share.tolist() for share in two.flips] == [[0, 0, 0], [0, pytest.approx(1 / 6), 0]]


def test_rows_equal_bit_for_bit_are_no_infinite_gain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error below float32's rounding counts as that."""
    exact = logits(30, 6)
    before = report(tmp_path / "a", exact, exact)
    after = report(tmp_path / "b", exact, [moved(rows, 1e-8, 4) for rows in exact])

    assert compared(capsys, before, after)[0] == 0


def test_what_differs_besides_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, prompts, versions, metrics; what only one has or cannot be compared is named, the rest is judged."""
    exact = logits(30, 6)
    before, after = report(tmp_path / "a", exact, exact), report(tmp_path / "b", exact[:28], exact[:28])
    report(before, exact, exact, variant="as_served")
    report(before, exact, exact, model="Gone")
    report(before, exact, exact, model="Real")
    report(after, exact, exact, model="Real")
    report(before, exact, exact, model="Silent", variant="spec_decode")
    report(after, exact, exact, model="Silent", variant="spec_decode")
    describe(after, weights_digest="d2")
    describe(after, "Real", kind="real")
    traces = after / "traces" / "Model" / "base"
    answers = json.loads((traces / "candidate" / "trace.json").read_text())["answers"]
    answers[2]["prompt_ids"] = [9]
    provenance = {"engine": "vllm", "versions": {"vllm": "0.23"}, "effective": {"block_size": 128}}
    tell(traces / "candidate", answers=answers, provenance=provenance)
    tell(traces / "reference", answers=answers, provenance={"setting": {"weights": "r2", "versions": {"torch": "2"}}})
    write_json(after / "details" / "Model" / "base.json", {"metrics_version": 2})
    status, text = compared(capsys, before, after)

    assert status == 0
    for line in (
        "other prompts: 27 compared; 2 only before, 0 only now, 1 with other token ids or no answer (Model base)",
        "the candidate's weights changed: d1 before, d2 now (Model base)",
        "the reference's weights changed: none before, r2 now (Model base)",
        "the candidate's vllm changed: none before, 0.23 now (Model base)",
        "reports made by metrics version None before and 2 now; here by one version (Model base)",
        "not compared: traces only before (Gone base, Model as_served)",
        "not compared: subject: twin before, real now: a twin says nothing of its model (Real base)",
        "not compared: before: its logits could not be seen (Silent spec_decode)",
    ):
        assert line in text.splitlines()


def test_only_the_models_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name is one line and status 4."""
    exact = logits(4, 6)
    for name in ("a", "b"):
        report(report(tmp_path / name, exact, exact), exact, exact, model="Other")
    status, text = compared(capsys, tmp_path / "a", tmp_path / "b", "--model", "Other")
    assert status == 0
    assert "Model base" not in text

    status, text = compared(capsys, tmp_path / "a", tmp_path / "b", "--model", "None")
    assert status == 4
    assert text == f"ERROR: --model None: {tmp_path / 'a'} has traces of Model, Other only\n"


def test_a_runs_own_pages_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have the names of those of a comparison."""
    exact = logits(4, 6)
    before, after = (report(tmp_path / name, exact, exact) for name in ("a", "b"))
    write_json(after / "report.json", {})
    (after / "index.html").write_text("the run's")
    status, text = compared(capsys, before, after, "-o", str(after))

    assert (status, text.count("\n")) == (4, 1)
    assert "is a run's folder, whose own pages would be written over" in text
    assert (after / "index.html").read_text() == "the run's"


def test_missing_traces_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a folder without any, of one that was judged from another, of a variant that was not scored."""
    exact = logits(4, 6)
    before, after = report(tmp_path / "a", exact, exact), tmp_path / "b"
    status, text = compared(capsys, before, after)
    assert status == 1
    assert text == (
        f"ERROR: {after}: has no traces (traces/MODEL/VARIANT/candidate); "
        "give the folder of a run that started engines\n"
    )
    write_json(after / "report.json", {"run": {"judged_from": "/elsewhere"}})
    assert compared(capsys, before, after)[1].endswith("give /elsewhere, which it judged\n")

    report(after, exact, exact)
    (after / "traces" / "Model" / "base" / "reference" / "trace.json").unlink()
    status, text = compared(capsys, before, after)
    assert status == 1
    assert len(text.splitlines()) == 1
    assert "base/reference: no trace here (trace.json is missing) (Model base)" in text


def test_variants_that_walk_base_share_its_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have none of their own; an engine that ignored the option is not compared."""
    exact = logits(30, 6)
    seen = {"tp2": {}, "graph": {"graph": 1}}
    for number, name in enumerate(("a", "b")):
        folder = report(tmp_path / name, exact, rounded(exact, seed=number))
        tokens = [answer.token_ids for answer in load_trace(folder / "traces/Model/base/candidate").answers]
        for variant, observed in seen.items():
            rows = rounded(exact, 0.005 * (1 + number), 4 + number)
            place = folder / "traces" / "Model" / variant / "candidate"
            write_trace(place, rows, tokens=tokens, observed=observed if number else {"graph": 1})
    status, text = compared(capsys, tmp_path / "a", tmp_path / "b")
    assert status == 1
    assert "Model graph: worse" in text
    assert "Model tp2: worse" in text

    write_json(tmp_path / "b/traces/Model/graph/candidate/trace.json", _without_sign(tmp_path))
    assert (
        "not compared: now: graph: 0 in this run, at least 1 show the feature (Model graph)"
        in compared(capsys, tmp_path / "a", tmp_path / "b")[1]
    )


def _without_sign(folder: Path) -> Any:
    content = json.loads((folder / "b/traces/Model/graph/candidate/trace.json").read_text())
    return content | {"provenance": {"observed": {"graph": 0}}}


def test_torch_is_not_needed(tmp_path: Path) -> None:
    """Neither to compare nor to say that nothing can be."""
    exact = logits(4, 6)
    folder = reseal(report(tmp_path / "a", exact, exact))
    code = "import sys; from npu_conformance.__main__ import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    words = [sys.executable, "-c", code, "compare", str(folder), str(folder)]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout.splitlines()[-1] == "False"
