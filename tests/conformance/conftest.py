"""The suite's own modules say as much of a failed assertion as a test does."""

import pytest

pytest.register_assert_rewrite("tests.conformance.suite")
