"""Validates an unpacked crate with RO-Crate's validator, in that validator's environment and without a network.

Called by tests/sharing/test_crate.py: ``python tests/validate_crate.py FOLDER CONTEXT``, where CONTEXT is a file with the
JSON-LD context of RO-Crate 1.1. Prints everything that does not conform, as JSON.
"""

import io
import json
import sys
from pathlib import Path

import requests


def answered(self, request, **_):
    """Answer requests for the context from the file, and every other one with 404."""
    response = requests.Response()
    response.url, response.request = request.url, request
    found = request.url == "https://w3id.org/ro/crate/1.1/context"
    response.status_code = 200 if found else 404
    response.headers["Content-Type"] = "application/ld+json"
    response.raw = io.BytesIO(Path(sys.argv[2]).read_bytes() if found and request.method == "GET" else b"")
    return response


requests.adapters.HTTPAdapter.send = answered

from rocrate_validator import services  # noqa: E402

profile = {"profile_identifier": "workflow-run-crate-0.5", "requirement_severity": "RECOMMENDED"}
found = services.validate(profile | {"rocrate_uri": sys.argv[1], "no_cache": True}).get_issues()
print(json.dumps([{"severity": issue.severity.name, "message": issue.message} for issue in found]))
