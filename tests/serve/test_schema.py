"""Requests that schemathesis makes up from the API's own description: whatever comes, nothing answers 500."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.test_server import server

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_EACH = 100


@pytest.mark.slow
def test_nothing_is_a_server_error_and_all_is_as_described(tmp_path: Path) -> None:
    answered: Counter[int] = Counter()
    with server(tmp_path / "no") as (address, process):
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()

            @given(case=operation.as_strategy())
            @settings(max_examples=_EACH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            def ask(case: Any) -> None:
                answer = case.call(timeout=30)
                answered[answer.status_code] += 1
                case.validate_response(answer, checks=_CHECKS)

            ask()
        assert process.poll() is None
    assert max(answered) < 500
    assert answered[200]
    assert sum(answered.values()) >= 5 * _EACH
