"""Makes the interpreter of rules importable for the tests of this directory."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "xtables_kernel", Path(__file__).parent / "xtables_kernel.py"
)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["xtables_kernel"] = _module
_spec.loader.exec_module(_module)
