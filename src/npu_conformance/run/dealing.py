"""How pytest-xdist deals the suite's tests out to its workers: all of a model to one, which starts its engines once."""

from collections.abc import Callable
from typing import Any

import pytest

# Ways of dealing out that are this one, or that send every test to every worker.
WHOLE = ("no", "loadgroup", "each")


def scheduler(config: pytest.Config, log: Any, model_of: Callable[[str], str | None]) -> Any:
    """A scheduler for `--dist loadgroup`; None for other ways.

    Marks named `xdist_group` would do as well, but pytest-xdist 3.8 loses them under pytest 9.2, whose node ids cannot
    be changed any more.

    Args:
        config: of the process that deals out.
        log: pytest-xdist's.
        model_of: the model that a test, by its id, is of; None for other tests.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

    # xdist would begin with the model of most tests, whatever they cost.
    config.option.loadscopereorder = False

    class ModelScheduling(LoadGroupScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return model_of(nodeid) or str(super()._split_scope(nodeid))

        def _reschedule(self, node: Any) -> None:
            super()._reschedule(node)
            # A worker begins its last test only when it knows what follows. One that replaces a dead one may be dealt
            # a model with one test left, and then waits for ever if all others have been sent home.
            while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
                self._assign_work_unit(node)

    return ModelScheduling(config, log)
