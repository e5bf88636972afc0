"""Runs inside vLLM's workers, which load it before they load a model: hands out a model's hidden states by layer."""

from typing import Any

from npu_conformance.engines.hook import Hook, install, installed, register
from npu_conformance.engines.vllm.versions import RUNNER, read

register()


class LayerHook:
    """Mixed into vLLM's worker by `worker_extension_cls`; called through `collective_rpc`."""

    def start_layer_hook(self, rows: int) -> None:
        """From now on every forward pass is looked at, where the model runs eagerly.

        Args:
            rows: tokens of a forward pass to keep, from its first.
        """
        self._own: Hook | None = install(self.get_model(), rows)  # type: ignore[attr-defined]

    def hidden_states(self, tokens: int) -> dict[str, list[float]] | None:
        """What the last forward pass left at the last of a prompt's tokens, by point.

        None where the model cannot be hooked, this rank has a part of the layers or of the tokens only, or the hook
        keeps fewer tokens.
        """
        hook = installed(self.get_model())  # type: ignore[attr-defined]
        return None if hook is None or hook.held < tokens else hook.read([tokens - 1])[0]

    def sampled_states(self, request_ids: list[str]) -> dict[str, dict[str, list[float]] | None] | None:
        """What the last engine step left at the tokens whose logits were sampled, by request and point.

        Args:
            request_ids: the engine's own ids. One that was not in the step's batch, or whose prompt has not been
                read to its end, is left out.

        Returns:
            A request whose token lies beyond what the hook keeps, or what this rank has, has None. None altogether
            where the model is not hooked, or the batch may be another one by now (asynchronous scheduling).
        """
        hook, runner = installed(self.get_model()), self.model_runner  # type: ignore[attr-defined]
        if hook is None or read(runner, RUNNER["starts"]) is None or read(runner, RUNNER["asynchronous"]):
            return None
        wanted = set(request_ids)
        last = {request: row for request, row in _sampled_rows(runner).items() if request in wanted}
        held = hook.held
        kept = [request for request, row in last.items() if row < held]
        states = dict(zip(kept, hook.read([last[request] for request in kept]), strict=True))
        return {request: states.get(request) for request in last}

    def stop_layer_hook(self) -> None:
        """Take out the hooks that `start_layer_hook` put in."""
        if self._own is not None:
            self._own.remove()
            self._own = None


def _sampled_rows(runner: Any) -> dict[str, int]:
    """Of each request that the last step took a token for, the row of the last token that was computed.

    The runner changes its batch at the start of a step, so this one still has the requests it finished.
    """
    batch = {name: read(runner, fact) for name, fact in RUNNER.items()}
    requests, starts, computed, prompts = (batch[name] for name in ("request_ids", "starts", "computed", "prompts"))
    count = len(requests)
    computed = computed[:count] + starts[1 : count + 1] - starts[:count]
    whole = computed >= prompts[:count]  # a chunk of a prompt says nothing yet
    return {request: int(starts[i + 1]) - 1 for i, request in enumerate(requests) if whole[i]}
