from tests.api.bench import bench as bench  # noqa: PLC0414  # pytest finds fixtures by the names in here
