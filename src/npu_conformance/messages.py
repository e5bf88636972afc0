"""How a failed check is put to a person: property, observed, allowed, where, how to reproduce."""

from collections.abc import Sequence

from npu_conformance.results import Check


def failure_text(property_: str, failed: Sequence[Check], reproduce: str) -> str:
    """The message of a failing test.

    Args:
        property_: what must hold, in one sentence.
        failed: the checks that did not.
        reproduce: the command that shows it again.
    """
    lines = [f"does not hold: {property_.strip().splitlines()[0]}"]
    for check in failed:
        lines += [f"  {check.metric}", f"    observed  {observed(check)}", f"    allowed   {allowed(check)}"]
        lines += [f"    where     {check.where}"] if check.where else []
        lines += [f"    note      {check.message}"] if check.message else []
    return "\n".join([*lines, f"  reproduce   {reproduce}"])


def observed(check: Check) -> str:
    """The measured value with its sample and interval."""
    if check.observed is None:
        return "nothing"
    interval = (
        "" if check.interval is None else f", 95 % interval {number(check.interval[0])} to {number(check.interval[1])}"
    )
    return f"{number(check.observed)} (n = {check.n}{interval})"


def allowed(check: Check) -> str:
    """The limit with its relation."""
    return "any value (shown only)" if check.limit is None else f"{check.relation} {number(check.limit)}"


def number(value: float) -> str:
    """Six significant digits, without padding; enough to tell 0.999911 from 1."""
    return f"{value:.6g}"
