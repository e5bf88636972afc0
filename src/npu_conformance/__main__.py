"""`python -m npu_conformance`, where the command is not on PATH."""

import sys

from npu_conformance.cli import main

sys.exit(main())
