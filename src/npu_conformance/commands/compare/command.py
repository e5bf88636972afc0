"""`npu-conformance compare`: from two report folders to a table and pages that say what got worse."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from npu_conformance.commands.compare.runs import SavedRun, comparison, differences, held, pair, require_whole
from npu_conformance.commands.console import console, plain_table
from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.measure.growth import FLIPS, GROWTH, Judged, RunPair, judge
from npu_conformance.measure.statistics import more_often
from npu_conformance.report.compared import Compared, Place, TwoRuns, growth_of
from npu_conformance.report.compared_pages import write_compared
from npu_conformance.report.model import Report, load_report
from npu_conformance.report.words import LANGUAGES, Language

# Places named where something is open; elsewhere one.
_PLACES = 3
_LEFT_OUT = "not compared: "


def compare_runs(
    before: Path,
    after: Path,
    models: Sequence[str],
    output: Path | None = None,
    languages: tuple[Language, ...] = LANGUAGES,
) -> int:
    """Print what became of each model in each variant, and write pages of it; 0 where nothing is worse, else 1.

    Args:
        before: report folder of the earlier version.
        after: of the later one.
        models: names of those to compare; all where empty.
        output: folder of the pages; None: `compare-BEFORE-AFTER` beside the later run.
        languages: of the pages.

    Raises:
        ConfigError: a folder has no traces of a model that was named, or the pages' is a run's.
        TraceError: a folder was changed since its run, or there is nothing that can be compared.
    """
    if output is not None and (output / "report.json").exists():
        raise ConfigError(f"-o {output}: is a run's folder, whose own pages would be written over: name another")
    sides, notes = _both(before, after, models)
    found: list[tuple[SavedRun, SavedRun, RunPair]] = []
    for side in sides:
        other = SavedRun(after, side.model, side.variant)
        require_whole(side)
        require_whole(other)
        try:
            found.append((side, other, pair(side, other)))
        except TraceError as error:
            notes.append((f"{_LEFT_OUT}{error}", _name(side)))
            continue
        notes += [(line, _name(side)) for line in differences(side, other)]
    if not found:
        raise TraceError(f"{before} and {after}: nothing can be compared: {'; '.join(_gathered(notes))}")
    judged = judge([two for _, _, two in found])
    out = console()
    out.print(_table([(_name(side), two, one) for (side, _, two), one in zip(found, judged, strict=True)]))
    for (side, other, two), one in zip(found, judged, strict=True):
        out.print("", *_account(side, other, two, one), sep="\n", soft_wrap=True)
    out.print("", *_gathered(notes), _rule(len(found)), sep="\n", soft_wrap=True)
    names = before.resolve().name, after.resolve().name
    pairs = tuple(_compared(*one) for one in zip(found, judged, strict=True))
    unpaired = tuple((where, line.removeprefix(_LEFT_OUT)) for line, where in notes if line.startswith(_LEFT_OUT))
    runs = TwoRuns(*names, pairs, unpaired, (_report(before), _report(after)))
    folder = output or after.resolve().parent / f"compare-{names[0]}-{names[1]}"
    out.print(f"pages: {write_compared(runs, folder, languages)[0]}", soft_wrap=True)
    return int(any(one.verdict == "worse" for one in judged))


def _report(folder: Path) -> Report | None:
    """None of a folder without one that this version can read: figures are not shown then."""
    try:
        return load_report(folder)
    except TraceError:
        return None


def _compared(found: tuple[SavedRun, SavedRun, RunPair], judged: Judged) -> Compared:
    side, other, two = found
    places = tuple(_places_of(other, two, _PLACES))
    return Compared(side.model, side.variant, two, judged, places, tuple(differences(side, other)))


def _places_of(after: SavedRun, two: RunPair, count: int) -> Iterator[Place]:
    """Positions whose error grew most, with the candidate's token and the reference's."""
    reference, compared = after.reference, comparison(after, "decode")
    if compared is None:
        return
    places = {prompt: index for index, prompt in enumerate(compared.prompts)}
    for prompt, step, error, grown in two.worst(count):
        at = compared.bounds[places[two.prompts[prompt]]] + step
        own, choice = int(compared.tokens[at]), int(compared.choices[at])
        other = "" if own == choice else reference.piece(choice)
        yield Place(two.prompts[prompt], step, error, grown, reference.piece(own), other)


def _both(before: Path, after: Path, models: Sequence[str]) -> tuple[list[SavedRun], list[tuple[str, str]]]:
    """Models and variants that both folders have, as they are before, and a note on each that only one has."""
    then, now = held(before), held(after)
    for name in models:
        for folder, found in ((before, then), (after, now)):
            if name not in found:
                told = f"{folder} has traces of {', '.join(found)} only{did_you_mean(name, found)}"
                raise ConfigError(f"--model {name}: {told}")
    sides, notes = [], []
    for model in models or sorted({*then, *now}):
        for variant in dict.fromkeys([*then.get(model, []), *now.get(model, [])]):
            side = SavedRun(before, model, variant)
            if variant in then.get(model, []) and variant in now.get(model, []):
                sides.append(side)
            else:
                when = "before" if variant in then.get(model, []) else "now"
                notes.append((f"{_LEFT_OUT}traces only {when}", _name(side)))
    return sides, notes


def _table(rows: Sequence[tuple[str, RunPair, Judged]]) -> Table:
    table = plain_table("model, variant", "prompts", "error, decode", "error, prefill", "flips, %", "verdict")
    for name, two, one in rows:
        rates = " → ".join(f"{100 * share.mean():.2f}" for share in two.flips)
        ratios = (growth_of(one, path) for path in ("decode", "prefill"))
        table.add_row(name, str(len(two.prompts)), *ratios, rates, one.verdict)
    return table


def _account(before: SavedRun, after: SavedRun, two: RunPair, one: Judged) -> Iterator[str]:
    """What a row of the table rests on, and where to look."""
    yield f"{_name(before)}: {one.verdict}: {one.why}"
    then, now = two.flips
    newly, no_longer = (two.turned > 0).sum(), (two.turned < 0).sum()
    more, fewer = (now > then).sum(), (now < then).sum()
    yield (
        f"  flips: more in {more} prompts (p {more_often(now, then):.2g}), fewer in {fewer} "
        f"(p {more_often(then, now):.2g}); {newly} newly and {no_longer} no longer at {len(two.turned)} positions "
        "after the same tokens"
    )
    for at in _places_of(after, two, 1 if one.verdict == "no worse" else _PLACES):
        tokens = f"token {at.token}" + (f", reference {at.reference}" if at.reference else "")
        yield f"  {at.prompt}, position {at.position}: error {at.before:.3g} before, {at.now:.3g} now; {tokens}"


def _gathered(notes: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Each note once, with all that it is of."""
    for line in dict.fromkeys(line for line, _ in notes):
        yield f"{line} ({', '.join(where for other, where in notes if other == line)})"


def _rule(pairs: int) -> str:
    return (
        f"worse: the error, a mean over prompts, grew by more than {GROWTH:g} times, or flips are more frequent in "
        f"more prompts than rarer; by chance alone in at most {FALSE_ALARMS:.0%} of such comparisons of {pairs}. "
        f"no worse: the 95 % interval of the growth ends below {GROWTH:g}, and that of the share of flips below "
        f"{FLIPS:.0%}."
    )


def _name(side: SavedRun) -> str:
    return f"{side.model} {side.variant}"
