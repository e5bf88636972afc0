"""Writes what `deliver` knows of a tree of vllm-ascend: `python -m tools.vllm_ascend TREE`, a checkout or its copy."""

import sys
from pathlib import Path

from npu_conformance.commands.hand_in.patch import SNAPSHOT, read_tree, snapshot_text
from npu_conformance.machine.storage import write_text


def main() -> int:
    """Read the tree that the command line names."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    write_text(SNAPSHOT, snapshot_text(read_tree(Path(sys.argv[1]))))
    print(SNAPSHOT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
