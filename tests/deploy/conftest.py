"""A running server for probes to ask."""

from tests.serving.conftest import arithmetic  # noqa: F401
