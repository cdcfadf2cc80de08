# Pytest finds fixtures by the names in here.
from tests.api.bench import bench as bench  # noqa: PLC0414
from tests.api.bench import wired as wired  # noqa: PLC0414
