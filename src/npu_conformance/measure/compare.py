"""Pairs of traces into comparisons: every metric at every judged position, in one pass over the rows."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from npu_conformance.errors import TraceError
from npu_conformance.measure.columns import Columns, columns_of
from npu_conformance.measure.comparison import Comparison, comparison_of
from npu_conformance.measure.few_words import measure_words
from npu_conformance.measure.topk import Side
from npu_conformance.traces.rows import Rows, row_digest
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import Answer, Trace

# Rows of each trace that are held at a time: 20 MB of one at 151,936 words.
_ROWS = 32


def compare(candidate: Trace, reference: Trace) -> Comparison:
    """Compare at every judged position: whole rows, or the few words that a side has.

    Raises:
        TraceError: the traces are not of the same prompts, prompt tokens, tokens and vocabulary, or hold no
            position at all. Nothing passes because there was nothing to compare.
    """
    (found,) = compare_all([(candidate, reference)])
    if isinstance(found, TraceError):
        raise found
    return found


def compare_all(pairs: Sequence[tuple[Trace, Trace]]) -> list[Comparison | TraceError]:
    """Compare pairs of traces in one pass: rows that several of them share are read once, some at a time.

    Returns:
        For each pair what `compare` returns or raises.
    """
    passes = [_Pass(*pair) for pair in pairs]
    for index in range(max((len(candidate.answers) for candidate, _ in pairs), default=0)):
        here = [one for one in passes if index < len(one.candidate.answers)]
        longest = max((len(one.candidate.answers[index].token_ids) for one in here), default=0)
        for start in range(0, longest, _ROWS):
            read = _reader(index, slice(start, start + _ROWS))
            for one in here:
                one.take(index, start, read)
    return [one.found() for one in passes]


_Reader = Callable[[Trace], Side]


def _reader(index: int, rows: slice) -> _Reader:
    """Reads some rows of a prompt, those of a folder once."""
    read: dict[Path, Side | TraceError] = {}

    def rows_of(trace: Trace) -> Side:
        if trace.folder not in read:
            try:
                read[trace.folder] = trace.logits(index, rows) if trace.rows == "full" else trace.topk(index, rows)
            except TraceError as error:
                read[trace.folder] = error
        found = read[trace.folder]
        if isinstance(found, TraceError):
            raise found
        return found

    return rows_of


class _Pass:
    """A pair on its way through the rows."""

    def __init__(self, candidate: Trace, reference: Trace) -> None:
        self.candidate = candidate
        self._reference = reference
        self._columns: list[list[Columns]] = [[] for _ in candidate.answers]
        self._unrepeated = [0 for _ in candidate.answers]
        self._problem: TraceError | None = None
        try:
            check_same_run(candidate, reference)
        except TraceError as error:
            self._problem = error

    def take(self, index: int, start: int, read: _Reader) -> None:
        """Measure the judged ones among some rows of a prompt, the first of which is at `start`."""
        if self._problem is not None:
            return
        try:
            answer, judged = self.candidate.answers[index], max(self.candidate.judged(index) - start, 0)
            if answer.repeat_digests is not None and start < len(answer.token_ids):
                self._unrepeated[index] += _unrepeated(self.candidate, index, read(self.candidate), start)
            if judged:
                self._measure(index, start, read(self.candidate)[:judged], read(self._reference)[:judged])
        except TraceError as error:
            self._problem = error

    def _measure(self, index: int, start: int, mine: Side, theirs: Side) -> None:
        answer = self.candidate.answers[index]
        taken = None if self.candidate.forced else answer.token_ids[start : start + len(mine)]
        if isinstance(mine, TopKRows) or isinstance(theirs, TopKRows):
            columns = measure_words(answer.prompt, mine, theirs, taken)
        else:
            columns = _measure_rows(answer.prompt, mine, theirs, taken)
        self._columns[index].append(columns)

    def found(self) -> Comparison | TraceError:
        """What was measured of all rows."""
        if self._problem is not None:
            return self._problem
        if not any(self._columns):
            return TraceError(f"{self.candidate.folder}: holds no position to compare")
        prompts = [answer.prompt for answer in self.candidate.answers]
        return comparison_of(prompts, self._columns, self._unrepeated)


def _measure_rows(prompt: str, mine: Rows, theirs: Rows, taken: Sequence[int] | None) -> Columns:
    """Whole rows of a prompt, measured; as `measure_words` does few words."""
    if mine.shape != theirs.shape:
        raise TraceError(
            f"prompt {prompt}: vocabulary of {mine.shape[1]} words in the candidate's "
            f"logits, {theirs.shape[1]} in the reference's: not the same model"
        )
    if max(taken or (), default=0) >= mine.shape[1] or min(taken or (), default=0) < 0:
        raise TraceError(
            f"prompt {prompt}: a token is none of the {mine.shape[1]} words of its logits; run the model again"
        )
    return columns_of(mine, theirs, taken)


def _unrepeated(run: Trace, index: int, rows: Side, start: int = 0) -> int:
    """How many rows of a prompt the run's second time did not repeat bit for bit; 0 where there was none to repeat.

    Args:
        run: whose rows they are.
        index: of the prompt.
        rows: some of its rows.
        start: place of the first of them.
    """
    answer = run.answers[index]
    if answer.repeat_digests is None:
        return 0
    again = answer.repeat_digests[start : start + len(rows)]
    missing = abs(len(answer.token_ids) - len(answer.repeat_digests)) if start == 0 else 0
    now = rows.digests if isinstance(rows, TopKRows) else [row_digest(row) for row in rows]
    return sum(mine != then for mine, then in zip(now, again, strict=False)) + missing


def differing_prompt_ids(candidate: Trace, reference: Trace) -> Iterator[tuple[Answer, str, tuple[int, ...]]]:
    """Prompts whose token ids are not identical: the answer, what differs, and the ids expected."""
    for mine, theirs in zip(candidate.answers, reference.answers, strict=True):
        if mine.prompt_ids != theirs.prompt_ids:
            yield mine, "given to the candidate", theirs.prompt_ids
        elif mine.own_prompt_ids is not None and mine.own_prompt_ids != theirs.prompt_ids:
            yield mine, "of the engine's own tokenisation", theirs.prompt_ids


def check_same_run(candidate: Trace, reference: Trace) -> None:
    """Refuse traces that are not of the same prompts, prompt tokens and tokens.

    Raises:
        TraceError: they are not.
    """
    ids, other = ([answer.prompt for answer in trace.answers] for trace in (candidate, reference))
    if ids != other:
        raise TraceError(
            f"{candidate.folder} and {reference.folder}: prompts differ ({len(ids)} and {len(other)}, first "
            f"difference {next((a for a, b in zip(ids, other, strict=False) if a != b), 'in number')!r}): "
            "not traces of the same run"
        )
    for mine, theirs in zip(candidate.answers, reference.answers, strict=True):
        if mine.prompt_ids != theirs.prompt_ids or mine.token_ids != theirs.token_ids:
            given = "the candidate did not take the tokens it was given"
            scored = "the reference scored other tokens than the candidate produced"
            raise TraceError(
                f"prompt {mine.prompt}: {given if candidate.forced else scored} "
                f"({len(theirs.prompt_ids)}+{len(theirs.token_ids)} against "
                f"{len(mine.prompt_ids)}+{len(mine.token_ids)}): not traces of the same run"
            )
