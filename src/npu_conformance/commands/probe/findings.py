"""From what engines left to findings, point by point."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from npu_conformance.commands.probe.engines import LORA, PLAIN, Start
from npu_conformance.commands.probe.points import POINTS, Finding
from npu_conformance.commands.probe.seen import Seen
from npu_conformance.config.variants import no_effect

Findings = dict[str, Finding]
"""By engine."""
# What an engine is asked for a piece, where that is not the piece itself.
_ASKED = {"killed": "held"}
# A LoRA's engine is held against rows of the plain one.
_OTHER = {LORA: PLAIN}


def needed(points: Iterable[str], starts: Sequence[Start], chosen: Collection[str]) -> list[Start]:
    """The engines that points need, each with what it is asked for them; also what those chosen are held against.

    Args:
        points: ids.
        starts: every engine there is.
        chosen: names of the engines that are asked for the points.
    """
    asked: dict[str, set[str]] = {start.name: set() for start in starts}
    for name in points:
        point = POINTS[name]
        for start in starts:
            if start.name in chosen and point.piece in _told(start):
                asked[start.name].add(point.piece)
                if point.rests_on is not None:
                    asked[_OTHER.get(start.name, start.name)].add(POINTS[point.rests_on].piece)
    return [
        start._replace(pieces=tuple(one for one in start.pieces if one == "mode" or _ASKED.get(one, one) in wanted))
        for start in starts
        if (wanted := asked[start.name])
    ]


def judged(points: Iterable[str], starts: Sequence[Start], seen: Mapping[str, Seen | str]) -> dict[str, Findings]:
    """The findings of each point, by engine.

    Args:
        points: ids, in the order they are told.
        starts: the engines that were started, with what they were asked.
        seen: what each left, or why there is nothing.
    """
    made: dict[str, Findings] = {}

    def findings(name: str) -> Findings:
        if name not in made:
            made[name] = {start.name: one for start in starts if (one := _judge(name, start)) is not None}
        return made[name]

    def _judge(name: str, start: Start) -> Finding | None:
        point = POINTS[name]
        if point.piece not in _told(start):
            return None
        if start.lacking is not None:
            return Finding(verdict="not here", message=start.lacking)
        there = seen[start.name]
        if isinstance(there, str):
            return Finding(verdict="error", message=there)
        if name != "graph_mode" and (why := _not_followed(there)) is not None:
            return Finding(verdict="not here", message=why)
        if point.rests_on is not None:
            basis = findings(point.rests_on).get(_OTHER.get(start.name, start.name))
            if basis is not None and basis.verdict != "ok":
                told = f"says nothing while {point.rests_on} is {basis.verdict}"
                return Finding(verdict="not here", message=told)
        piece = getattr(there, point.piece)
        if point.piece in there.errors or piece is None:
            return Finding(verdict="error", message=there.errors.get(point.piece, "the engine left nothing to judge"))
        return point.judge(piece)

    return {name: findings(name) for name in points}


def _told(start: Start) -> list[str]:
    """The pieces that an engine leaves."""
    return [_ASKED.get(one, one) for one in start.pieces]


def _not_followed(seen: Seen) -> str | None:
    """Why an engine is another one than was asked for."""
    mode = seen.mode
    return None if mode is None else no_effect(mode.options, (), mode.provenance)
