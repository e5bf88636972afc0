"""Runs inside vLLM's workers: keeps the hidden states of a prompt's last token, layer by layer."""

from contextlib import ExitStack
from typing import Any

from npu_conformance.engines.hidden import EMBEDDING, FINAL_NORM, tapped


class LayerTap:
    """Mixed into vLLM's worker by `worker_extension_cls`; called through `collective_rpc`."""

    def start_layer_tap(self) -> None:
        """From now on every forward pass is looked at."""
        self._tap = ExitStack()
        self._seen = self._tap.enter_context(tapped(self.get_model()))  # type: ignore[attr-defined]

    def hidden_states(self, tokens: int) -> dict[str, list[float]] | None:
        """What the last forward pass left at the last of a prompt's tokens, by point.

        None where the model cannot be tapped, or this rank has a part of the layers or of the tokens only.
        """
        if not self._seen or EMBEDDING not in self._seen or FINAL_NORM not in self._seen:
            return None
        rows: dict[str, Any] = {point: states.flatten(0, -2) for point, states in self._seen.items()}
        if any(len(states) < tokens for states in rows.values()):
            return None
        return {point: states[tokens - 1].float().cpu().tolist() for point, states in rows.items()}

    def stop_layer_tap(self) -> None:
        """Take the hooks out again."""
        self._tap.close()
