"""The points of a probe: a function each, which judges one piece of what an engine left. Pure: no engine is needed."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

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
    Table,
)
from npu_conformance.config.variants import no_effect

Figures = dict[str, float | int | str]
Verdict = Literal["wrong", "error", "ok", "not here"]
"""Worst first; `error` is what broke off, `not here` what this machine or engine cannot show."""

CLOSE = 0.05
"""Largest relative L2 of rows that only rounding separates; on a twin in bfloat16 it is 0.002 to 0.02."""
EFFECT = 0.1
"""Least relative L2 that the probe's LoRA makes."""
_TOLD = ("enforce_eager", "cudagraph_mode", "compilation_mode", "async_scheduling", "attention_backend", "block_size")
_GRAPH_OPTIONS = ("enforce_eager", "compilation_config")
_SAME = 1e-4
"""Relative change below which a layer handed on what it was given."""
_VISIBLE = 32.0
"""MiB by which an engine is seen in a measure at all."""
_KEPT = 64.0
"""MiB that may be missing afterwards: others use a machine too."""
_USED = 256.0
"""MiB by which a device is known to be used; a context alone takes less."""


class Finding(BaseModel):
    """What one engine says to a point."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")

    verdict: Verdict
    message: str
    figures: Figures = {}


class Point(NamedTuple):
    """Something to be verified."""

    question: str
    piece: str
    """The field of `Seen` it is judged by."""
    judge: Callable[[Any], Finding]
    rests_on: str | None = None
    """A point without which this one says nothing about its own question."""


POINTS: dict[str, Point] = {}
"""By id, in the order they are told."""


def _point(
    name: str, question: str, piece: str, rests_on: str | None = None
) -> Callable[[Callable[[Any], Finding]], Callable[[Any], Finding]]:
    def register(judge: Callable[[Any], Finding]) -> Callable[[Any], Finding]:
        POINTS[name] = Point(question, piece, judge, rests_on)
        return judge

    return register


@_point("sampled_token", "Is the argmax of each captured row the token that was sampled?", "alone")
def sampled_token(seen: Sampled) -> Finding:
    """Of requests that are asked one at a time, so that no other request's row can be meant."""
    wrong, count, where = _not_sampled(seen)
    figures: Figures = {"positions": count, "wrong": wrong}
    told = [] if count else ["no position was captured"]
    if wrong:
        told.append(f"{wrong} of {count} captured rows have another argmax than the sampled token, first {where}")
    return _judged(told, f"so at all {count} positions", figures)


@_point("rows_of_request", "Does each row of a batch belong to its request?", "batch", rests_on="sampled_token")
def rows_of_request(seen: Batched) -> Finding:
    """Each request in a batch against itself alone: its tokens, its rows, and whose row is nearest."""
    wrong, count, where = _not_sampled(seen)
    strangers = [f"{one} (nearest is {other})" for one, other in enumerate(seen.nearest) if one != other]
    worst = _largest(seen.distances)
    figures: Figures = {"positions": count, "wrong": wrong, "relative_l2_worst": worst}
    told = []
    if strangers:
        told.append(f"first rows of requests {', '.join(strangers)} are those of another")
    if wrong:
        told.append(f"{wrong} of {count} rows have another argmax than the sampled token, first {where}")
    if not worst <= CLOSE:
        told.append(f"rows differ from those of the same request alone by up to {worst:.3g} (limit {CLOSE:g})")
    return _judged(told, f"{len(seen.tokens)} requests, their rows within {worst:.2g} of alone", figures)


@_point("graph_mode", "Is the engine's graph mode the one that was asked for?", "mode")
def graph_mode(seen: Mode) -> Finding:
    """By the config of the process that asks and by that of each worker."""
    effective = seen.provenance["effective"]
    mode, compiled = effective["cudagraph_mode"], effective["compilation_mode"]
    figures: Figures = {name: str(effective[name]) for name in _TOLD if name in effective}
    asked = {name: seen.options[name] for name in _GRAPH_OPTIONS if name in seen.options}
    if (why := no_effect(asked, seen.signs, seen.provenance)) is not None:
        return Finding(verdict="wrong", message=why, figures=figures)
    if seen.options.get("enforce_eager") and seen.provenance["observed"]["graph"]:
        return Finding(verdict="wrong", message="eager was asked for, the engine has graphs", figures=figures)
    if others := [f"rank {rank} has {one}" for rank, one in enumerate(seen.ranks) if one != mode]:
        told = f"the engine says {mode}, {', '.join(others)}"
        return Finding(verdict="wrong", message=told, figures=figures)
    return Finding(verdict="ok", message=f"graphs {mode}, compilation {compiled}", figures=figures)


@_point("hidden_states", "Does the hidden-state hook give a row a layer?", "hidden")
def hidden_states(seen: Hidden) -> Finding:
    """All of them, none zero, none the one before it."""
    figures: Figures = {"layers": seen.layers, "points": len(seen.points)}
    expected = seen.layers + 2  # the embedding and the final norm
    if not seen.points or not seen.norms:
        return Finding(verdict="wrong", message="the hook saw nothing", figures=figures)
    norms, changes = np.array(seen.norms), np.array(seen.changes)
    figures |= {"smallest_norm": float(norms.min()), "smallest_change": float(changes.min())}
    told = []
    if len(seen.points) != expected:
        told.append(f"{len(seen.points)} points, expected {expected}: {seen.layers} layers, embedding, final norm")
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        told.append(f"states are zero or not finite at {_named(seen.points, ~(norms > 0) | ~np.isfinite(norms))}")
    elif not (changes > _SAME).all():
        told.append(f"states are those of the point before at {_named(seen.points[1:], ~(changes > _SAME))}")
    return _judged(told, f"{expected} points, {seen.layers} layers", figures)


@_point("forced_decode", "Does a forced token reach the sampler, its row unmasked?", "forced", "sampled_token")
def forced_decode(seen: Forced) -> Finding:
    """The tokens least likely at the first step, so that none comes out by chance."""
    figures: Figures = {"tokens": len(seen.asked), "relative_l2": seen.distance}
    told = []
    if seen.taken != seen.asked:
        told.append(f"forced to {list(seen.asked)}, the engine took {list(seen.taken)}")
    if not seen.finite:
        told.append("a recorded row is masked, or not finite")
    elif not seen.distance <= CLOSE:
        told.append(f"the first recorded row differs from the free one by {seen.distance:.3g} (limit {CLOSE:g})")
    return _judged(told, f"{len(seen.asked)} unlikely tokens were taken", figures)


@_point(
    "prefill",
    "Does the prefill hook give a row a position, equal to decode but for rounding?",
    "prefill",
    "sampled_token",
)
def prefill(seen: Prefilled) -> Finding:
    """Each prompt with its answer in one prefill."""
    if seen.distances is None:
        return Finding(verdict="wrong", message="the hook saw nothing, or not every position")
    worst, count = _largest(seen.distances), sum(map(len, seen.distances))
    figures: Figures = {"positions": count, "relative_l2_worst": worst}
    told = [] if worst <= CLOSE else [f"rows differ from those of decode by up to {worst:.3g} (limit {CLOSE:g})"]
    return _judged(told, f"{count} positions within {worst:.2g} of decode", figures)


@_point("ranks", "Does one rank write, and is every rank given its rows?", "ranks")
def ranks(seen: Ranks) -> Finding:
    """To the bit."""
    figures: Figures = {"ranks": len(seen.there), "rows": seen.rows}
    writers = sorted(rank for rank, count in seen.written.items() if count)
    told = []
    if not seen.rows:
        told.append("no row was captured")
    if len(seen.there) != seen.expected:
        told.append(f"rows were given to ranks {sorted(seen.there)}, there are {seen.expected}")
    if short := {rank: count for rank, count in seen.there.items() if count != seen.rows}:
        told.append(f"of {seen.rows} rows, ranks were given {short}")
    if len(writers) != 1:
        told.append(f"rows were written by ranks {writers}, expected one")
    if unequal := {rank: count for rank, count in seen.differing.items() if count}:
        told.append(f"of {seen.rows} rows, ranks were given others than the writer: {unequal}")
    return _judged(told, f"rank {', '.join(map(str, writers))} writes, {seen.rows} rows equal on all", figures)


@_point("lora", "Does a LoRA change the logits, and its absence leave the base model?", "lora", "sampled_token")
def lora(seen: Adapted) -> Finding:
    """First tokens, in one engine."""
    effect, bare = min(seen.effect, default=0.0), max(seen.bare, default=float("nan"))
    bare = float("nan") if np.isnan(seen.bare).any() else bare
    figures: Figures = {
        "modules": seen.layers,
        "relative_l2_with": effect,
        "relative_l2_without": bare,
    }
    told = []
    if not seen.layers:
        told.append("no module of the model applies one")
    if not effect >= EFFECT:
        told.append(f"with it rows change by {effect:.3g} only (at least {EFFECT:g} are expected)")
    if not bare <= CLOSE:
        told.append(f"without it rows differ from those of an engine that has none by {bare:.3g} (limit {CLOSE:g})")
    return _judged(told, f"rows change by {effect:.2g} or more with it, by {bare:.2g} without", figures)


@_point("memory", "Is the engine's memory free again after it ended, and after it was killed?", "held")
def memory(seen: Held) -> Finding:
    """What was measured is said in the message."""
    grown = sum(max(0.0, seen.during[name] - seen.before.get(name, 0.0)) for name in seen.during)
    kept = sum(max(0.0, seen.after.get(name, 0.0) - seen.before.get(name, 0.0)) for name in seen.during)
    figures: Figures = {
        "held_mib": round(grown),
        "kept_mib": round(kept),
        "waited_s": round(seen.waited, 1),
        "processes_left": seen.left,
    }
    told = []
    if not grown >= _VISIBLE:
        told.append(f"the measure saw nothing of the engine ({grown:.0f} MiB)")
    if seen.left:
        told.append(f"{seen.left} of its processes are still there")
    if not kept <= _KEPT:
        told.append(f"{kept:.0f} of {grown:.0f} MiB are not free again after {seen.waited:.0f} s")
    measured = f"after {'SIGKILL' if seen.killed else 'its end'}, {seen.what}"
    return _judged([f"{measured}: {one}" for one in told], f"{measured}: {grown:.0f} MiB are free again", figures)


@_point("devices", "Are the devices that were lent those that are used?", "held")
def devices(seen: Held) -> Finding:
    """By which devices' memory rose."""
    if not seen.lent:
        return Finding(verdict="not here", message="no devices are lent on this platform")
    if len(seen.during) < 2:
        return Finding(verdict="not here", message="there is one device only, no other could be used")
    rises = {name: seen.during[name] - seen.before.get(name, 0.0) for name in seen.during}
    used = tuple(name for name, rise in rises.items() if rise >= _USED)
    figures: Figures = {f"device {name} (MiB)": round(rise) for name, rise in rises.items()}
    same = sorted(used) == sorted(seen.lent)
    told = [] if same else [f"lent {', '.join(seen.lent)}, memory rose on {', '.join(used) or 'none'}"]
    return _judged(told, f"lent and used: {', '.join(used)}", figures)


def _judged(problems: list[str], fine: str, figures: Figures) -> Finding:
    """What is wrong, if anything."""
    if problems:
        return Finding(verdict="wrong", message="; ".join(problems), figures=figures)
    return Finding(verdict="ok", message=fine, figures=figures)


def _not_sampled(seen: Sampled) -> tuple[int, int, str]:
    """Positions whose argmax was not sampled; of how many; where the first is."""
    positions = [
        (request, step, token == best)
        for request, (tokens, choices) in enumerate(zip(seen.tokens, seen.best, strict=True))
        for step, (token, best) in enumerate(zip(tokens, choices, strict=True))
    ]
    wrong = [f"request {request}, step {step}" for request, step, same in positions if not same]
    return len(wrong), len(positions), next(iter(wrong), "")


def _largest(table: Table) -> float:
    """The largest entry; NaN where one is, or where there is none."""
    entries = [entry for row in table for entry in row]
    return float(np.max(entries)) if entries else float("nan")


def _named(points: tuple[str, ...], bad: Any) -> str:
    """Points at which any prompt's states are bad."""
    return ", ".join(point for point, one in zip(points, bad.any(axis=0), strict=False) if one)


def worst(verdicts: "Mapping[str, Finding]") -> Verdict:
    """The verdict of a point over its engines: `not here` only where none of them can show it."""
    order: tuple[Verdict, ...] = ("wrong", "error", "ok", "not here")
    found = {one.verdict for one in verdicts.values()}
    return next((verdict for verdict in order if verdict in found), "not here")
