"""Published values in ../shared/reference: AUCs, tests and statistics computed by other programs."""

import json
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
REALDATA = REFERENCE.parent / "realdata"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="needs ../shared/reference with published values")


def vectors():
    return json.loads((REFERENCE / "auc_vectors.json").read_text())
