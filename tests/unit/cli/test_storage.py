from datetime import timedelta

from iotsphere.cli.storage import describe
from iotsphere.telemetry.storage import StorageReport, StorageShare

ROWS = StorageShare("readings", False, chunks=2, size=3000, readings=20, points=100)
COLUMNS = StorageShare("readings", True, chunks=1, size=1200, readings=60, points=300)
FIGURES = StorageShare("rollups_1h", False, chunks=1, size=800)


def test_each_share_is_told_by_the_points_that_are_in_it_and_figures_by_all() -> None:
    described = describe(
        "timescaledb 2.29.2 (timescale)", StorageReport(True, timedelta(days=7), 1, [ROWS, COLUMNS, FIGURES])
    )

    assert [(share["bytes_per_reading"], share["bytes_per_point"]) for share in described["tables"]] == [
        (150.0, 30.0),
        (20.0, 4.0),
        (None, 2.0),
    ]
    assert described["bytes_per_point"] == 12.5
    assert (described["compresses"], described["compress_after_days"], described["chunks_to_compress"]) == (
        True,
        7,
        1,
    )


def test_a_store_without_readings_has_no_bytes_a_point() -> None:
    described = describe("postgresql 18.6 (partitions)", StorageReport(False, None))

    assert (described["compresses"], described["compress_after_days"]) == (False, None)
    assert (described["points"], described["bytes_per_point"]) == (0, None)
