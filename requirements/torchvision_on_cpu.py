"""Lets a torchvision that was built for CUDA be imported beside a torch for the CPU.

Such a build's own operators do not load here, and torchvision refuses to be imported without two of them. Nothing in
the suite calls them; models that could see need torchvision only to be there. `make` puts this file and a `.pth` file
that imports it into the environment, so that it holds in every process an engine starts. A build for the CPU, which
PyTorch's own index has, is left alone: it brings its operators, and none may be declared twice.
"""

import sys


class _BeforeTorchvision:
    """Declares the operators when torchvision is about to be imported, and not in processes that never do."""

    def find_spec(self, name, *_):
        if name == "torchvision":
            sys.meta_path.remove(self)
            from importlib.metadata import version

            if version("torchvision").endswith("+cpu"):
                return
            import torch

            for operator in ("nms", "qnms"):
                _kept.append(torch.library.Library("torchvision", "FRAGMENT"))
                _kept[-1].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


# A library takes its operators along when it goes.
_kept = []
sys.meta_path.insert(0, _BeforeTorchvision())
