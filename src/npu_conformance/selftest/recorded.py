"""The recorded campaign: what docs/faults.md and the reports say of it."""

from pathlib import Path

from npu_conformance.machine.storage import write_text
from npu_conformance.report.ruled_out import CAUGHT, AllCaught, Caught
from npu_conformance.selftest.catalogue import KINDS
from npu_conformance.selftest.results import Results

RECORDED = Path(__file__).with_name("recorded.json")


def record(results: Results) -> None:
    """Make a campaign's results those that reports quote, and those that the next campaign is held against."""
    write_text(RECORDED, results.model_copy(update={"judged": ()}).model_dump_json(indent=1))
    write_text(CAUGHT, all_caught(results).model_dump_json(indent=1))


def recorded() -> Results:
    """Results of the recorded campaign, without the judgements they rest on."""
    return Results.model_validate_json(RECORDED.read_bytes())


def all_caught(results: Results) -> AllCaught:
    """Kinds by each property that caught them on every twin, with the weakest strength from which on it did."""
    properties = dict.fromkeys(check for kind in results.kinds for at in kind.strengths for check in at.each)
    found = ((check, kind.kind, kind.smallest(check)) for check in properties for kind in results.kinds)
    return AllCaught(
        prompts=results.prompts,
        positions=results.positions,
        allowed=results.allowed,
        caught=tuple(
            Caught(check=check, kind=kind, strength=strength, needs=KINDS[kind].needs)
            for check, kind, strength in found
            if strength is not None
        ),
    )
