"""Traces of whole rows reduced to their likeliest words, as an engine over HTTP would have given them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from npu_conformance.measure.topk import likeliest, topk
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.topk_rows import TopKRows, save_topk
from npu_conformance.traces.trace import Trace, load_trace, save_modules, save_trace

K = 8


def of_rows(rows: Rows, count: int = K) -> TopKRows:
    """Their likeliest words; of the whole rows' size nothing is known."""
    words = likeliest(rows, count)
    found = topk(rows, words)
    return TopKRows(words, found.log_probs, found.tail, np.full(len(rows), np.nan))


def reduce_trace(
    full: Path,
    folder: Path,
    count: int = K,
    change: Callable[[TopKRows], TopKRows] = lambda rows: rows,
    *,
    everywhere: bool = False,
) -> Trace:
    """Leave a trace of the same tokens with the likeliest words of each row, and open it.

    Args:
        full: the trace that has whole rows.
        folder: where.
        count: of words.
        change: what is wrong with the words of the second prompt.
        everywhere: whether it is of all prompts.
    """
    folder.mkdir(parents=True)
    trace = load_trace(full)
    for index in range(len(trace.answers)):
        rows = of_rows(trace.logits(index), count)
        save_topk(folder, index, change(rows) if everywhere or index == 1 else rows)
    answers = [dataclasses.replace(one, storage="float32", repeat_digests=None) for one in trace.answers]
    save_trace(
        folder,
        answers,
        eos_token_ids=trace.eos_token_ids,
        provenance=trace.provenance,
        pieces=trace.pieces,
        forced=trace.forced,
        rows="topk",
    )
    save_modules(folder, trace.modules() or ())
    return load_trace(folder)
