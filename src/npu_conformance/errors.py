"""The errors a user can cause or meet. Each carries one message for a person: where, what, what to do.

ConformanceError
├── ConfigError       a model config, prompt set or command line is wrong (pytest exits with 4)
├── WeightsError      weights are missing
├── CheckpointError   weights are there, but damaged or at odds with their config
├── PlanError         the run cannot fit this machine
├── TraceError        a trace is missing, incomplete, or not comparable with another
├── JobError          a worker died, hung, did not come up, or refused its job
└── ServerError       a server under test cannot be asked, or gives no answer that can be judged
"""

import re

# Colours; they hide nothing, and logs are full of them.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Controls but tab and new line, directions of text, what takes no room, line and paragraph ends, halves of characters,
# tags. Joiners stay: scripts and emoji need them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: object) -> str:
    """Text from outside as a terminal, a log or a page can show it: what would act on them is written as an escape.

    Colours are left out; tabs and new lines stay. What is printable already is returned as it is.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), _COLOUR.sub("", str(text)))


class ConformanceError(Exception):
    """Base of every error that is reported as one message, without a traceback; the message is `printable`."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(ConformanceError):
    """A model config, a prompt set or the command line is wrong."""


class WeightsError(ConformanceError):
    """No weights were found for a model."""


class CheckpointError(ConformanceError):
    """A checkpoint is damaged or disagrees with its own config."""


class PlanError(ConformanceError):
    """What was asked for does not fit into this machine's memory or disk."""


class TraceError(ConformanceError):
    """A trace is missing, incomplete, or not comparable with the other one."""


class JobError(ConformanceError):
    """A worker process failed; the message ends with the last lines of its log when they say more."""

    def __init__(self, message: str, part: int = 0, *, starting: bool = False) -> None:
        """Args: part: the job of a series it was at; starting: it was an engine that had not come up yet."""
        super().__init__(message)
        self.part = part
        self.starting = starting
