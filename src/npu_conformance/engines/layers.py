"""Runs inside vLLM's workers: keeps the hidden states of a prompt's last token, layer by layer."""

from contextlib import ExitStack
from typing import Any

from npu_conformance.engines.hidden import tapped


class LayerTap:
    """Mixed into vLLM's worker by `worker_extension_cls`; called through `collective_rpc`."""

    def start_layer_tap(self) -> None:
        """From now on every forward pass is looked at."""
        self._tap = ExitStack()
        self._seen = self._tap.enter_context(tapped(self.get_model()))  # type: ignore[attr-defined]

    def hidden_states(self, token: int) -> dict[str, list[float]] | None:
        """What the last forward pass left at a token's row, by point; None where the model cannot be tapped."""
        if self._seen is None:
            return None
        rows: dict[str, Any] = {point: states.flatten(0, -2)[token] for point, states in self._seen.items()}
        return {point: row.float().cpu().tolist() for point, row in rows.items()}

    def stop_layer_tap(self) -> None:
        """Take the hooks out again."""
        self._tap.close()
