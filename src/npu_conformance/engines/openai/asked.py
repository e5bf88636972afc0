"""A server that is asked for a job: one question after another, or several at once."""

import dataclasses
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from npu_conformance.engines.openai.client import Question, Server
from npu_conformance.engines.openai.replies import Reply
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.engines.rendering import Rendered

if TYPE_CHECKING:
    from npu_conformance.workers.job import CandidateJob
    from npu_conformance.workers.worker import Progress


@dataclass
class Asked:
    """A server, a job for it, and the staged trace that its answers go to."""

    job: "CandidateJob"
    rendered: Rendered
    server: Server
    stage: Path
    progress: "Progress"
    requests: int = 0
    """That were sent."""

    def replies(self, phase: str, questions: Sequence[Question], names: Sequence[str]) -> list[Reply]:
        """Ask one question after another.

        Raises:
            ServerError: one was not answered; says of which prompt, and how many were.
        """
        found = []
        for done, (question, name) in enumerate(zip(questions, names, strict=True)):
            self.progress(phase, done, len(questions))
            try:
                found.append(self.server.answer(_salted(question)))
            except ServerError as error:
                raise ServerError(f"{name}: {error} ({phase}, after {done} of {len(questions)} answers)") from error
            self.requests += 1
        return found

    def together(self, phase: str, questions: Sequence[Question]) -> list[Reply]:
        """Ask all at once."""
        self.progress(phase, 0, len(questions))
        try:
            found = self.server.answer_together([_salted(one) for one in questions])
        except ServerError as error:
            raise ServerError(f"{error} ({phase}, {len(questions)} requests at once)") from error
        self.requests += len(questions)
        return found

    @property
    def names(self) -> list[str]:
        """Those of the prompts."""
        return [prompt.id for prompt in self.rendered.prompts]


def _salted(question: Question) -> Question:
    """The same, with nothing taken from what another request left in a cache."""
    return dataclasses.replace(question, salt=secrets.token_hex(16))
