"""What is asserted of a model: a test for each registered check, `test_<check>[<Model>-<variant>]`."""

from collections.abc import Callable

from npu_conformance.checks import CHECKS, Check
from npu_conformance.plugin import Judge


def _test_of(check: Check) -> Callable[[Judge], None]:
    def test(judge: Judge) -> None:
        judge(check.id)

    test.__name__ = f"test_{check.id}"
    test.__doc__ = check.question[0]
    return test


globals().update({f"test_{check.id}": _test_of(check) for check in CHECKS.values()})
