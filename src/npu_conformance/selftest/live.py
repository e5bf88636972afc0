"""A model that runs in this process, whose parts can be replaced and are put back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from npu_conformance.engines.hidden import find_decoder

_MISSING = object()


@dataclass(frozen=True)
class Row:
    """A request in the step that runs."""

    tokens: slice
    """Its tokens among the step's."""
    computed: int
    """Tokens in the KV cache before this step."""
    prompt: int
    """Tokens of its prompt."""

    @property
    def decodes(self) -> bool:
        """Whether the step takes a token after its prompt."""
        return self.computed >= self.prompt


class Live:
    """An engine's model, and what is wrong with it now."""

    def __init__(self, runner: Any) -> None:
        """Args: runner: vLLM's model runner, of this process."""
        self.runner = runner
        self.model = runner.model
        self.decoder = find_decoder(self.model)
        self.layers = list(self.decoder.layers)
        self.middle = len(self.layers) // 2
        self._step: Any = None
        self._undo = ExitStack()

    @contextmanager
    def faulty(self, inject: "Inject", strength: float) -> Iterator[None]:
        """Within it the model has a fault."""
        with ExitStack() as self._undo:
            self._follow_steps()
            inject(self, strength)
            yield

    @property
    def attention(self) -> list[Any]:
        """VLLM's attention layers of the model, in their order; linear attention has none."""
        return [layer.self_attn for layer in self.layers if hasattr(getattr(layer, "self_attn", None), "attn")]

    def rows(self) -> list[Row]:
        """The requests of the step that runs; none in a warm-up."""
        if self._step is None:
            return []
        batch, start, found = self.runner.input_batch, 0, []
        for index, request in enumerate(batch.req_ids):
            end = start + self._step.num_scheduled_tokens[request]
            computed, prompt = batch.num_computed_tokens_cpu[index], batch.num_prompt_tokens[index]
            found.append(Row(slice(start, end), int(computed), int(prompt)))
            start = end
        return found

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute of a module or of any other object."""
        before = owner.__dict__.get(name, _MISSING)
        setattr(owner, name, value)
        self._undo.callback(_restore, owner, name, before)

    def around(self, owner: Any, name: str, change: Callable[..., Any]) -> None:
        """Call `change(original, *args, **named)` in a method's place."""
        original = getattr(owner, name)
        self.put(owner, name, lambda *args, **named: change(original, *args, **named))

    def write(self, tensor: Any, values: Any) -> None:
        """Overwrite a tensor in place."""
        before = tensor.detach().clone()
        tensor.data.copy_(values)
        self._undo.callback(tensor.data.copy_, before)

    def exchange(self, modules: Any, first: int, second: int) -> None:
        """Exchange two modules of a list."""
        one, other = modules[first], modules[second]
        modules[first], modules[second] = other, one
        self._undo.callback(modules.__setitem__, first, one)
        self._undo.callback(modules.__setitem__, second, other)

    def _follow_steps(self) -> None:
        def execute(original: Callable[..., Any], scheduled: Any, *args: Any, **named: Any) -> Any:
            self._step = scheduled
            try:
                return original(scheduled, *args, **named)
            finally:
                self._step = None

        self.around(self.runner, "execute_model", execute)


Inject = Callable[[Live, float], None]
"""Puts a fault of a strength into a model; what it replaced is put back when the fault is over."""


def _restore(owner: Any, name: str, before: Any) -> None:
    if before is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, before)
