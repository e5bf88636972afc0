"""The errors a user can cause or meet. Each carries one message for a person: where, what, what to do.

ConformanceError
├── ConfigError       a model config, prompt set or command line is wrong (pytest exits with 4)
├── WeightsError      weights are missing
├── CheckpointError   weights are there, but damaged or at odds with their config
├── PlanError         the run cannot fit this machine
├── TraceError        a trace is missing, incomplete, or not comparable with another
└── JobError          a worker died, hung, did not come up, or refused its job
"""


class ConformanceError(Exception):
    """Base of every error that is reported as one message, without a traceback."""


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
