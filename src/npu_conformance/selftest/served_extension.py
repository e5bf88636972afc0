"""Faults in an engine behind a server: mixed into vLLM's worker by `--worker-extension-cls`, called over its RPC."""

from contextlib import ExitStack
from typing import Any

from npu_conformance.selftest.catalogue import KINDS
from npu_conformance.selftest.live import Live


class FaultyWorker:
    """A worker whose model can be given one fault at a time."""

    model_runner: Any

    def put_fault(self, kind: str, strength: str) -> None:
        """Put a fault into the model that runs, in place of the one that is there.

        Args:
            kind: of the catalogue, of a running model.
            strength: a number; the route passes text.
        """
        self.take_fault_out()
        change: Any = KINDS[kind].change
        self._fault = ExitStack()
        self._fault.enter_context(Live(self.model_runner).faulty(change, float(strength)))

    def take_fault_out(self) -> None:
        """Put back what the fault replaced."""
        getattr(self, "_fault", ExitStack()).close()
