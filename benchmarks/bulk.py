"""Measures import and export of devices on a platform of its own. ``make bench-bulk`` calls this.

Rows per second as a client sees them, on all four stores, and how much memory the serving process holds at most while
it works, by the size of the file.
"""

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.run import EMAIL, PASSWORD, Platform, descendants, running_platform

console = Console()
SIZES = (1_000, 10_000, 100_000)
CSV = "text/csv"
NDJSON = "application/x-ndjson"


class Peak:
    """The most memory in MiB that a process held while it was watched."""

    def __init__(self, process_id: int) -> None:
        self._status = Path(f"/proc/{process_id}/status")
        self._is_over = threading.Event()
        self.before = self.most = self._now()

    def _now(self) -> float:
        resident = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(resident.split()[1]) / 1024

    def _watch(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, self._now())

    @contextmanager
    def watched(self) -> Iterator[None]:
        watching = threading.Thread(target=self._watch)
        watching.start()
        try:
            yield
        finally:
            self._is_over.set()
            watching.join()


def serving_process(platform: Platform) -> int:
    return next(
        process_id
        for process_id in descendants(platform.process.pid)
        if "iotsphere.cli.roles.serve" in Path(f"/proc/{process_id}/cmdline").read_text()
    )


def devices_of(prefix: str, count: int) -> Iterator[bytes]:
    for number in range(count):
        device = {"serial_number": f"{prefix}-{number}", "device_type": "pump", "labels": {"site": f"{number % 50}"}}
        yield json.dumps(device).encode() + b"\n"


def log_in(http: httpx.Client, login: dict[str, str]) -> None:
    answer = http.post("/auth/token", json=login)
    assert answer.status_code == 200, answer.text
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


@contextmanager
def organisation(platform: Platform, name: str) -> Iterator[httpx.Client]:
    """Give a client of an administrator of a new organisation."""
    with httpx.Client(base_url=f"{platform.url}/api/v1", trust_env=False, timeout=600) as http:
        login = {"email": EMAIL, "password": PASSWORD}
        log_in(http, login)
        admin = {"email": f"{name}@example.org", "password": PASSWORD}
        http.post("/organisations", json={"name": name, "admin": admin}).raise_for_status()
        log_in(http, admin)
        yield http


def measure(platform: Platform, size: int) -> dict[str, float]:
    process = serving_process(platform)
    with organisation(platform, f"bulk-{size}-{time.time_ns()}") as http:
        body = b"".join(devices_of("device", size))
        peak, began = Peak(process), time.perf_counter()
        with peak.watched():
            answer = http.post("/devices/import", content=body, headers={"Content-Type": NDJSON}).raise_for_status()
        imported = time.perf_counter() - began
        assert answer.text.count('"created"') == size
        figures = {"import_per_second": size / imported, "rss_before": peak.before, "rss_most": peak.most}
        for kind in (NDJSON, CSV):
            peak, began = Peak(process), time.perf_counter()
            with peak.watched(), http.stream("GET", "/devices/export", headers={"Accept": kind}) as exported:
                lines = sum(chunk.count(b"\n") for chunk in exported.iter_bytes())
            assert lines == size + (kind == CSV)
            figures[f"export_{kind.rpartition('/')[2]}_per_second"] = size / (time.perf_counter() - began)
            figures["rss_most"] = max(figures["rss_most"], peak.most)
    return figures


def show(rows: list[dict[str, float]]) -> None:
    table = Table("devices", "import/s", "export/s NDJSON", "export/s CSV", "RSS before MiB", "RSS at most MiB")
    for row in rows:
        size, *rest = row.values()
        table.add_row(f"{size:.0f}", *(f"{rest[column]:.0f}" for column in (0, 3, 4, 1, 2)))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_platform() as platform:
        # One run beforehand, so that the first size does not pay for what every process does once.
        measure(platform, 100)
        rows = [{"devices": size} | measure(platform, size) for size in options.sizes]
    if options.json:
        console.print_json(data=rows)
    else:
        show(rows)


if __name__ == "__main__":
    main()
