"""The API's own description, taken at its word by schemathesis against a running server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.auth import issue
from api.openapi import LIVE_PATH
from tests.stories.shopfront import SECRET, serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "missing_required_header",
    "unsupported_method",
)
"""All but ``positive_data_acceptance``: a schema cannot say that a time must be past, or an id be known."""


@pytest.mark.parametrize("examples", [5, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_the_description_of_the_api_is_true(tmp_path: Path, examples: int) -> None:
    """Whatever schemathesis makes of it, no answer is a 5xx or other than it is described.

    The live feed is left out: its answer has no end to wait for (tests/api/test_live.py holds what it says).
    """
    with serving(tmp_path) as (server,):
        token = issue("admin", "fuzz", 36_000, SECRET)
        fuzzed = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/schema/openapi.json",
                "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
                "--exclude-path", LIVE_PATH, "--max-examples", str(examples), "--continue-on-failure", "--seed", "1",
            ],
            cwd=tmp_path, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert fuzzed.returncode == 0, fuzzed.stdout[-20_000:]
