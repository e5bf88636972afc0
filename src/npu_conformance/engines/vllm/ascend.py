"""What vLLM-Ascend shows of its switches in a running worker.

Written against the wheels 0.18.0, 0.23.0 and 0.26.0rc1, and run nowhere yet: without an NPU the plugin does not import.
"""

import sys
from collections import Counter
from typing import Any

# torch_npu's number of the layout FRACTAL_NZ.
_FRACTAL_NZ = 29
# Of ops/linear_op.py: what does a linear layer's work where a switch asks for it.
_OPERATORS = {
    "SequenceRowParallelOp": "flashcomm1_layers",
    "Flashcomm2OProjRowParallelOp": "flashcomm2_layers",
    "MatmulAllreduceRowParallelOp": "matmul_allreduce_layers",
}
_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


def ascend_config() -> dict[str, Any]:
    """VLLM-Ascend's own config as it read and corrected it, sections as mappings; empty without the plugin."""
    module = sys.modules.get("vllm_ascend.ascend_config")
    return {} if module is None else _as_plain(module.get_ascend_config())


def _as_plain(section: Any) -> dict[str, Any]:
    found = {}
    for name, value in vars(section).items():
        if isinstance(value, _PLAIN):
            found[name] = value
        elif type(value).__module__ == "vllm_ascend.ascend_config":
            found[name] = _as_plain(value)
    return found


def ascend_signs(worker: Any) -> dict[str, int]:
    """What shows that switches took effect, by `variants.Sign`; empty without the plugin.

    Args:
        worker: of vLLM.
    """
    if "vllm_ascend" not in sys.modules:
        return {}
    modules = list(worker.get_model().modules())
    operators = Counter(type(getattr(module, "custom_op", None)).__name__ for module in modules)
    invariant = getattr(sys.modules.get("vllm_ascend.batch_invariant"), "_batch_invariant_LIB", None)
    return {
        **{sign: operators[name] for name, sign in _OPERATORS.items()},
        "plain_weights_in_nz": _plain_weights_in_nz(worker),
        # Where its operators are missing it says so in a warning, and replaces none.
        "batch_invariant_operators": int(invariant is not None),
        "xlite_worker": int(any(made.__name__ == "XliteWorker" for made in type(worker).__mro__)),
    }


def _plain_weights_in_nz(worker: Any) -> int:
    import torch_npu

    weights = worker.get_model().parameters()
    return sum(
        weight.is_floating_point() and torch_npu.get_npu_format(weight.data) == _FRACTAL_NZ for weight in weights
    )
