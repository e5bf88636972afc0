"""What a campaign found, kind by kind: the smallest strength that is caught, by what, and what others' methods see."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from npu_conformance.checks import CALIBRATED
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.selftest.catalogue import CLEAN, KINDS
from npu_conformance.selftest.judging import Judged


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class AtStrength(_Part):
    """A kind at one strength, over twins."""

    strength: float
    subjects: int
    """Twins it was put into."""
    changed: int
    """Those of which it changed a hidden state, or, being in the head, a logit; what follows counts these alone."""
    caught: int
    """By a gate or a figure."""
    by_gates: int
    """By a gate, figures left out."""
    each: tuple[str, ...]
    """Checks of which each caught it on every twin, whatever the others said."""
    first_tokens: int
    """By the published reports' method."""
    top_five: int
    """By vLLM's published test."""

    @property
    def always(self) -> bool:
        """Whether it is caught on every twin that it changes, of which there are some."""
        return 0 < self.changed == self.caught


class KindResult(_Part):
    """A kind over its strengths, weakest first."""

    kind: str
    about: str
    documented: float
    """The strength from which it is said to be caught always."""
    strengths: tuple[AtStrength, ...]

    @property
    def always(self) -> bool:
        """Whether it is caught on every twin at the documented strength and beyond."""
        beyond = self.beyond
        return bool(beyond) and all(one.always for one in beyond)

    def smallest(self, check: str) -> float | None:
        """The weakest strength from which on a check caught it on every twin; None where there is none."""
        found = None
        for one in reversed(self.strengths):
            if check not in one.each or one.changed < one.subjects:
                break
            found = one.strength
        return found

    @property
    def beyond(self) -> tuple[AtStrength, ...]:
        """The documented strength and stronger ones."""
        order = list(KINDS[self.kind].strengths)
        return tuple(one for one in self.strengths if order.index(one.strength) >= order.index(self.documented))


class Ablation(_Part):
    """A gate taken out: what slips through the others then, figures left out, on any twin."""

    gate: str
    slips: tuple[str, ...]
    """`kind@strength on twin`."""


class Results(_Part):
    """A campaign."""

    development: tuple[str, ...]
    """The twins that strengths were fixed on."""
    subjects: tuple[str, ...]
    """The twins they are judged on."""
    kinds: tuple[KindResult, ...]
    ablation: tuple[Ablation, ...]
    false_alarms: int
    """Twins on which the forced decode without a fault was flagged."""
    prompts: int
    """Of the twin that had fewest."""
    positions: int = 0
    """Judged ones, of the twin that had fewest; 0 in records of before."""
    allowed: dict[str, float] = Field({})
    """The most that each calibrated gate allowed without a fault, on any twin; empty in records of before."""
    metrics_version: int
    """Of the figures that others are held to."""
    judged: tuple[Judged, ...] = ()
    """Everything, the development twins' included; left out where the results are kept for quoting."""


def summarise(development: Sequence[str], kinds: Sequence[str], judged: Sequence[Judged]) -> Results:
    """The results of the kinds over all twins but those of development."""
    others = [one for one in judged if one.subject not in development]
    subjects = tuple(dict.fromkeys(one.subject for one in others))
    return Results(
        development=tuple(development),
        subjects=subjects,
        kinds=tuple(_of_kind(name, others) for name in kinds),
        ablation=tuple(_without(gate.id, judged) for gate in CALIBRATED),
        metrics_version=METRICS_VERSION,
        prompts=min((one.prompts for one in others), default=0),
        positions=min((one.positions for one in others), default=0),
        allowed=_allowed([one.allowed for one in others if one.kind == CLEAN]),
        false_alarms=sum(one.caught for one in judged if one.kind == CLEAN),
        judged=tuple(judged),
    )


def _of_kind(name: str, judged: Iterable[Judged]) -> KindResult:
    kind, mine = KINDS[name], [one for one in judged if one.kind == name]
    return KindResult(
        kind=name,
        about=kind.about,
        documented=kind.documented,
        strengths=tuple(
            _at(strength, [one for one in mine if one.strength == strength]) for strength in kind.strengths
        ),
    )


def _at(strength: float, judged: Sequence[Judged]) -> AtStrength:
    changed = [one for one in judged if one.changed]
    return AtStrength(
        strength=strength,
        subjects=len(judged),
        changed=len(changed),
        caught=sum(one.caught for one in changed),
        by_gates=sum(bool(one.gates) for one in changed),
        each=_in_all([(*one.gates, *one.figures) for one in changed]),
        first_tokens=sum(one.first_tokens for one in changed),
        top_five=sum(one.top_five for one in changed),
    )


def _in_all(found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(check for check in found[0] if all(check in one for one in found)) if found else ()


def _allowed(clean: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The widest limits of gates that had one on every twin."""
    gates = dict.fromkeys(gate for one in clean for gate in one)
    return {gate: max(one[gate] for one in clean) for gate in gates if all(gate in one for one in clean)}


def _without(gate: str, judged: Iterable[Judged]) -> Ablation:
    slips = tuple(
        f"{one.kind}@{one.strength:g} on {one.subject}"
        for one in judged
        if one.gates == (gate,) and one.kind != CLEAN and one.changed
    )
    return Ablation(gate=gate, slips=slips)
