from tests.integration.shadow.conftest import machine  # noqa: F401  # the Valkey that may be frozen and killed
