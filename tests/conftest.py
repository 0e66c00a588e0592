"""Makes the strategies of this directory importable for all tests."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "objects_by_chance", Path(__file__).parent / "objects_by_chance.py"
)
sys.modules["objects_by_chance"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
