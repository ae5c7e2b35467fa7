"""Validates an unpacked crate with RO-Crate's own validator, in its own environment and without a network.

Called as ``python tests/validate_crate.py FOLDER CONTEXT`` by tests/test_crate.py: CONTEXT is a file with the JSON-LD context of
RO-Crate 1.1, which the validator would otherwise fetch. Prints what does not conform, as JSON.
"""

import io
import json
import sys
from pathlib import Path

import requests


def answered(self, request, **_):
    """Answer for w3id.org from the file; nothing else is reached."""
    response = requests.Response()
    response.url, response.request = request.url, request
    found = request.url == "https://w3id.org/ro/crate/1.1/context"
    response.status_code = 200 if found else 404
    response.headers["Content-Type"] = "application/ld+json"
    response.raw = io.BytesIO(Path(sys.argv[2]).read_bytes() if found and request.method == "GET" else b"")
    return response


requests.adapters.HTTPAdapter.send = answered

from rocrate_validator import services  # noqa: E402

result = services.validate(
    {
        "rocrate_uri": sys.argv[1],
        "profile_identifier": "provenance-run-crate-0.5",
        "requirement_severity": "RECOMMENDED",
        "no_cache": True,
    }
)
issues = [
    {"severity": issue.severity.name, "message": issue.message, "entity": str(issue.violatingEntity)}
    for issue in result.get_issues()
]
print(json.dumps(issues))
