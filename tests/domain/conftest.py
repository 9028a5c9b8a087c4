"""Every test of the domain that opens a database runs on both."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each database when it uses one."""
    if "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
