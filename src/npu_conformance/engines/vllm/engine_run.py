"""An engine, a job for it, and the staged trace that its answers go to."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from npu_conformance.engines.rendering import Rendered
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.engines.vllm.generation import Captured, Generator, Request, forced_request
from npu_conformance.measure.metrics import choice
from npu_conformance.traces.rows import unpack
from npu_conformance.traces.trace import Answer, load_trace, save_rows, save_trace

if TYPE_CHECKING:
    from npu_conformance.workers.job import CandidateJob


@dataclasses.dataclass
class EngineRun:
    """An engine, a job for it, and the staged trace its answers go to."""

    job: "CandidateJob"
    rendered: Rendered
    generator: Generator
    stage: Path
    observed: dict[str, int] = dataclasses.field(default_factory=dict)
    """Signs that features took effect (see `variants.Sign`)."""
    seconds: float = 0.0
    """What the answers took, without all that is asked about them."""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Within it the answers are made."""
        started = time.monotonic()
        yield
        self.seconds = time.monotonic() - started

    def requests(self) -> list[Request]:
        """The prompts, each for an answer of the engine's own, as long as it may be; or for a given one."""
        if self.job.tokens_of is not None:
            return [
                forced_request(answer.prompt_ids, answer.token_ids) for answer in load_trace(self.job.tokens_of).answers
            ]
        lengths = self.rendered.lengths(self.job.max_tokens)
        return [Request(ids, length) for ids, length in zip(self.rendered.prompt_ids, lengths, strict=True)]

    def names(self) -> list[str]:
        """Those of the prompts."""
        return [prompt.id for prompt in self.rendered.prompts]

    def save(self, names: Sequence[str], captured: Captured, *, forced: bool, part: str = "") -> list[Answer]:
        """Write captured rows into the staged trace, or into a part of it.

        Args:
            names: of the prompts.
            captured: their rows, by the same index.
            forced: whether the requests were made to take their tokens, so that the text is not the engine's own.
            part: its name; its folder is there already.

        Returns:
            The answers the rows belong to.
        """
        decode, answers = self.generator.llm.get_tokenizer().decode, []
        file = None if forced else tokenizer_file(self.job.checkpoint)
        for index, (name, one) in enumerate(zip(names, captured.generated, strict=True)):
            stored, storage = captured.stored(index)
            save_rows(self.stage / part, index, stored)
            text = one.text
            if forced:
                # What it would have said itself at each position; a NaN leaves no choice, and -1 is no token.
                own = np.maximum(choice(unpack(stored, storage)), 0)
                text = decode(own.tolist(), skip_special_tokens=True)
            rows = tuple(int(row) for row in one.places["row"])
            decoded = None if file is None else file.text(one.token_ids)
            answer = Answer(name, one.prompt_ids, one.token_ids, text, storage, batch_rows=rows, decoded=decoded)
            answers.append(answer if forced else dataclasses.replace(answer, finish_reason=one.finish_reason))
        return answers

    def save_part(
        self, part: str, names: Sequence[str], captured: Captured, *, forced: bool, ends: Sequence[int] = ()
    ) -> None:
        """Write a new part of the trace (see `save`); `ends` are tokens after which nothing counts."""
        (self.stage / part).mkdir()
        answers = self.save(names, captured, forced=forced, part=part)
        save_trace(self.stage / part, answers, eos_token_ids=ends, provenance={}, forced=forced)
