"""The points of a probe: what each calls ok, and what makes it, and it alone, say wrong; no engine is needed."""

import re
from typing import Any

import pytest

from npu_conformance.commands.probe.engines import KILL, LORA, PLAIN, Start
from npu_conformance.commands.probe.findings import judged, needed
from npu_conformance.commands.probe.points import POINTS, Finding, worst
from npu_conformance.commands.probe.seen import (
    Adapted,
    Batched,
    Forced,
    Held,
    Hidden,
    Mode,
    Prefilled,
    Ranks,
    Sampled,
    Seen,
)
from tests.unit.helpers.suite_runs import ROOT

NAN = float("nan")
TOKENS = ((4, 5), (6, 7))
EFFECTIVE = {"enforce_eager": True, "cudagraph_mode": "NONE", "compilation_mode": "NONE", "async_scheduling": False}


def held(**changes: Any) -> Held:
    """Two devices, of which the engine used the one it was lent."""
    free = {"0": 100.0, "1": 100.0}
    told: dict[str, Any] = {"what": "memory of the devices", "killed": False, "waited": 1.0, "lent": ("1",), "left": 0}
    return Held.model_validate(told | {"before": free, "during": free | {"1": 9000.0}, "after": free} | changes)


GOOD: dict[str, Any] = {
    "sampled_token": Sampled(tokens=TOKENS, best=TOKENS),
    "rows_of_request": Batched(tokens=TOKENS, best=TOKENS, distances=((0.0, 0.01), (0.02,)), nearest=(0, 1)),
    "graph_mode": Mode(
        options={"enforce_eager": True, "async_scheduling": False},
        signs=(),
        provenance={"effective": EFFECTIVE, "observed": {"graph": 0}},
        ranks=("NONE",),
    ),
    "hidden_states": Hidden(
        layers=1,
        points=("embedding", "model.layers.0", "final norm"),
        norms=((1.0, 2.0, 3.0),),
        changes=((0.5, 0.2),),
    ),
    "forced_decode": Forced(asked=(1, 2), taken=(1, 2), finite=True, distance=0.0),
    "prefill": Prefilled(distances=((0.01, 0.02),)),
    "ranks": Ranks(expected=2, rows=8, there={0: 8, 1: 8}, written={0: 8, 1: 0}, differing={0: 0, 1: 0}),
    "lora": Adapted(layers=4, effect=(0.4, 0.2), bare=(0.01, 0.0)),
    "memory": held(),
    "devices": held(),
}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("sampled_token", {"best": ((4, 4), (6, 7))}, "1 of 4 captured rows .* first request 0, step 1"),
    ("sampled_token", {"best": ((-1, -1), (-1, -1))}, "4 of 4"),
    ("sampled_token", {"tokens": (), "best": ()}, "no position was captured"),
    ("rows_of_request", {"nearest": (1, 0)}, r"requests 0 \(nearest is 1\), 1 \(nearest is 0\)"),
    ("rows_of_request", {"best": ((6, 5), (6, 7))}, "1 of 4 rows have another argmax"),
    ("rows_of_request", {"distances": ((0.0,), (0.06,))}, "by up to 0.06"),
    ("rows_of_request", {"distances": ((NAN,), (0.01,))}, "by up to nan"),
    ("rows_of_request", {"distances": ()}, "nan"),
    ("graph_mode", {"options": {"enforce_eager": False}}, "asked for enforce_eager False"),
    ("graph_mode", {"signs": ("graph",)}, "graph: 0 in this run"),
    ("graph_mode", {"provenance": {"effective": EFFECTIVE, "observed": {"graph": 1}}}, "eager was asked for"),
    ("graph_mode", {"ranks": ("NONE", "FULL")}, "the engine says NONE, rank 1 has FULL"),
    ("hidden_states", {"points": (), "norms": (), "changes": ()}, "the hook saw nothing"),
    ("hidden_states", {"layers": 2}, "3 points, expected 4"),
    ("hidden_states", {"norms": ((1.0, 0.0, 3.0),)}, "zero or not finite at model.layers.0"),
    ("hidden_states", {"norms": ((1.0, NAN, 3.0),)}, "zero or not finite at model.layers.0"),
    ("hidden_states", {"changes": ((0.5, 0.0),)}, "those of the point before at final norm"),
    ("forced_decode", {"taken": (1, 9)}, r"forced to \[1, 2\], the engine took \[1, 9\]"),
    ("forced_decode", {"finite": False}, "masked"),
    ("forced_decode", {"distance": 0.5}, "differs from the free one by 0.5"),
    ("forced_decode", {"distance": NAN}, "differs from the free one by nan"),
    ("prefill", {"distances": None}, "the hook saw nothing"),
    ("prefill", {"distances": ((0.01, 0.5),)}, "by up to 0.5"),
    ("prefill", {"distances": ()}, "nan"),
    ("ranks", {"there": {0: 8}, "written": {0: 8}, "differing": {0: 0}}, r"ranks \[0\], there are 2"),
    ("ranks", {"there": {0: 8, 1: 5}}, "ranks were given {1: 5}"),
    ("ranks", {"written": {0: 8, 1: 8}}, r"written by ranks \[0, 1\], expected one"),
    ("ranks", {"written": {0: 0, 1: 0}}, r"written by ranks \[\], expected one"),
    ("ranks", {"differing": {0: 0, 1: 3}}, "others than the writer: {1: 3}"),
    ("ranks", {"rows": 0, "there": {0: 0, 1: 0}}, "no row was captured"),
    ("lora", {"layers": 0}, "no module"),
    ("lora", {"effect": (0.4, 0.01)}, "change by 0.01 only"),
    ("lora", {"effect": ()}, "change by 0 only"),
    ("lora", {"bare": (0.0, 0.3)}, "has none by 0.3"),
    ("lora", {"bare": (NAN, 0.0)}, "has none by nan"),
    ("lora", {"bare": ()}, "has none by nan"),
    ("memory", {"during": {"0": 100.0, "1": 101.0}}, "the measure saw nothing of the engine"),
    ("memory", {"left": 1, "killed": True}, "after SIGKILL, .* 1 of its processes are still there"),
    ("memory", {"after": {"0": 100.0, "1": 5000.0}}, "after its end, .* 4900 of 8900 MiB are not free"),
    ("devices", {"during": {"0": 9000.0, "1": 100.0}}, "lent 1, memory rose on 0"),
    ("devices", {"during": {"0": 9000.0, "1": 9000.0}}, "lent 1, memory rose on 0, 1"),
    ("devices", {"during": {"0": 100.0, "1": 100.0}}, "memory rose on none"),
]


@pytest.mark.parametrize("name", POINTS)
def test_a_point_says_in_the_docs_what_it_is(name: str) -> None:
    """With what it means where it is wrong."""
    page = (ROOT / "docs" / "on-an-npu.md").read_text(encoding="utf-8")

    assert re.search(rf"^\| `{name}` \| [^|]+\? \| [^|]+ \|$", page, re.MULTILINE)


@pytest.mark.parametrize("name", POINTS)
def test_what_is_right_is_ok(name: str) -> None:
    """With a word on what was seen."""
    found = POINTS[name].judge(GOOD[name])

    assert found.verdict == "ok"
    assert found.message


@pytest.mark.parametrize(("name", "change", "told"), BAD)
def test_what_is_wrong_is_told(name: str, change: dict[str, Any], told: str) -> None:
    """With the figures, in every way a point can be."""
    found = POINTS[name].judge(GOOD[name].model_copy(update=change))

    assert found.verdict == "wrong"
    assert re.search(told, found.message), found.message


def test_every_point_can_be_wrong() -> None:
    """The rows above leave none out."""
    assert {name for name, _, _ in BAD} == set(POINTS) == set(GOOD)


@pytest.mark.parametrize(
    ("change", "why"),
    [({"lent": ()}, "no devices are lent"), ({"during": {"0": 9000.0}, "lent": ("0",)}, "one device only")],
)
def test_devices_that_cannot_be_told_apart_are_not_here(change: dict[str, Any], why: str) -> None:
    """Nothing passes because there was nothing to compare."""
    found = POINTS["devices"].judge(held(**change))

    assert (found.verdict, why in found.message) == ("not here", True)


def whole(**changes: Any) -> Seen:
    """What an engine leaves where all is right."""
    pieces = {POINTS[name].piece: piece for name, piece in GOOD.items()}
    return Seen.model_validate(pieces | changes)


STARTS = [
    Start(PLAIN, {}, ("mode", "alone", "batch", "forced", "prefill", "hidden", "held"), None),
    Start("tp2", {}, ("mode", "alone", "batch", "ranks"), "tp2 needs 2 devices, 1 is here"),
    Start(LORA, {}, ("lora",), None),
    Start(KILL, {}, ("killed",), None),
]
NAMES = [start.name for start in STARTS]


def verdicts(seen: dict[str, Seen | str], *points: str) -> dict[str, dict[str, str]]:
    """By point and engine."""
    found = judged(points or tuple(POINTS), STARTS, seen)
    return {name: {engine: one.verdict for engine, one in engines.items()} for name, engines in found.items()}


def test_every_engine_says_what_it_was_asked() -> None:
    """What cannot be started here is not here, with the reason."""
    found = judged(tuple(POINTS), STARTS, dict.fromkeys((PLAIN, LORA, KILL), whole()))

    assert {name: set(engines) for name, engines in found.items()} == {
        "sampled_token": {PLAIN, "tp2"},
        "rows_of_request": {PLAIN, "tp2"},
        "graph_mode": {PLAIN, "tp2"},
        "hidden_states": {PLAIN},
        "forced_decode": {PLAIN},
        "prefill": {PLAIN},
        "ranks": {"tp2"},
        "lora": {LORA},
        "memory": {PLAIN, KILL},
        "devices": {PLAIN, KILL},
    }
    assert found["ranks"]["tp2"] == Finding(verdict="not here", message="tp2 needs 2 devices, 1 is here")
    assert {name: worst(engines) for name, engines in found.items()} == dict.fromkeys(POINTS, "ok") | {
        "ranks": "not here"
    }


def test_what_rests_on_a_wrong_point_says_nothing() -> None:
    """So one cause is told once; the other points are judged, and so is the other engine that rests on it."""
    late = whole(alone=GOOD["sampled_token"].model_copy(update={"best": ((5, 5), (7, 7))}), batch=None, forced=None)
    found = verdicts({PLAIN: late, LORA: whole(), KILL: whole()})
    wrong = {name for name, engines in found.items() if "wrong" in engines.values()}

    assert wrong == {"sampled_token"}
    resting = {name for name, point in POINTS.items() if point.rests_on == "sampled_token"}
    assert resting == {"rows_of_request", "forced_decode", "prefill", "lora"}
    assert all("ok" not in found[name].values() for name in resting)
    assert {found[name][PLAIN] for name in ("graph_mode", "hidden_states", "memory")} == {"ok"}


def test_what_broke_off_is_an_error_and_the_others_go_on() -> None:
    """Of a piece, or of a whole engine."""
    broken = whole(hidden=None, forced=None, errors={"hidden": "RuntimeError: no tap"})
    found = verdicts({PLAIN: broken, LORA: "probe lora: died", KILL: whole()})

    assert (found["hidden_states"][PLAIN], found["lora"][LORA]) == ("error", "error")
    assert found["forced_decode"][PLAIN] == "error"  # nothing was left, and nothing said why
    assert {engine for engines in found.values() for engine, one in engines.items() if one == "error"} == {PLAIN, LORA}
    assert found["prefill"][PLAIN] == found["memory"][KILL] == "ok"


@pytest.mark.parametrize(
    ("option", "of_graphs"), [({"async_scheduling": True}, "ok"), ({"enforce_eager": False}, "wrong")]
)
def test_an_engine_that_is_another_than_was_asked_for_shows_nothing_else(
    option: dict[str, Any], of_graphs: str
) -> None:
    """Its rows would be those of another engine."""
    other = GOOD["graph_mode"].model_copy(update={"options": option})
    found = verdicts({PLAIN: whole(mode=other), LORA: whole(), KILL: whole()})

    assert found["graph_mode"][PLAIN] == of_graphs
    assert found["sampled_token"][PLAIN] == found["forced_decode"][PLAIN] == "not here"


def test_only_what_points_need_is_asked() -> None:
    """With what they rest on; engines that nothing is asked of are not started."""
    asked = {start.name: start.pieces for start in needed(["forced_decode"], STARTS, NAMES)}
    assert asked == {PLAIN: ("mode", "alone", "forced")}

    asked = {start.name: start.pieces for start in needed(["memory"], STARTS, NAMES)}
    assert asked == {PLAIN: ("mode", "held"), KILL: ("killed",)}

    assert needed(POINTS, STARTS, NAMES) == STARTS
    asked = {start.name: start.pieces for start in needed(["lora"], STARTS, NAMES)}
    assert asked == {PLAIN: ("mode", "alone"), LORA: ("lora",)}
    # Its rows are held against the plain engine's, which is asked for nothing else.
    asked = {start.name: start.pieces for start in needed(POINTS, STARTS, [LORA])}
    assert asked == {PLAIN: ("mode", "alone"), LORA: ("lora",)}
