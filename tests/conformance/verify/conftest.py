"""Makes the comparison of this directory importable for its tests."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("agreement", Path(__file__).parent / "agreement.py")
sys.modules["agreement"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
