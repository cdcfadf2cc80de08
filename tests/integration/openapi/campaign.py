"""Requests made up from the OpenAPI document, sent to a running platform: it has to answer as the document says.

Run as a program (``make fuzz``) it goes on for as long as it is told.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx

from features.support.patience import patient_client
from features.support.running import ADMIN_EMAIL, ADMIN_PASSWORD, RunningPlatform

# As a module: a program of its own would look for its interpreter where it was installed.
PROGRAM = (sys.executable, "-m", "schemathesis.cli")
LEFT_OUT = (
    # What the document can say is less than what is checked: a taken serial number, a device that is not there.
    "positive_data_acceptance",
    # tests/integration/access asks this of everybody, and a wrong key too many would be answered with 429.
    "ignored_auth",
)
ADMINISTRATOR = f"""
# Whoever is logged out logs in again: logging out is among what is tried.
[auth.dynamic.openapi.bearer]
path = "/api/v1/auth/token"
payload = {{ email = "{ADMIN_EMAIL}", password = "{ADMIN_PASSWORD}" }}
extract_selector = "/access_token"
retry_on = [401]
"""
# Nobody could log in again whose password is replaced by a made-up one.
COLLEAGUE = """
[[operations]]
include-operation-id = "change_user"
parameters = {{ "path.user_id" = "{user_id}" }}
"""
DEVICE = """
[auth.openapi.api_key]
api_key = "{api_key}"

[parameters]
"path.device_id" = "{device_id}"
"""
# A reading, or a line, that is not valid is counted as rejected, and costs those beside it nothing.
COMMON = """
hooks = "hooks"

# Methods that an operation has not are tests/api/edge's: one is enough here.
[phases.coverage]
unexpected-methods = ["TRACE"]

[[operations]]
include-operation-id = "record_readings"
checks.negative_data_rejection.enabled = false

[[operations]]
include-operation-id = "record_stream"
checks.negative_data_rejection.enabled = false

[[operations]]
include-operation-id = "import_devices"
checks.negative_data_rejection.enabled = false

[[operations]]
include-operation-id = "import_maintenance_events"
checks.negative_data_rejection.enabled = false
"""

# The program knows no lines of JSON: what it makes up is sent as one. And it knows no busy stores: only what is
# turned away again and again has failed.
HOOKS = """
import json
import time
import schemathesis
from schemathesis.core.failures import ServerError

REPETITIONS = 10

@schemathesis.serializer("application/x-ndjson")
def write_line(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()

@schemathesis.hook
def filter_failure(context, failure, case, response):
    if not isinstance(failure, ServerError):
        return True
    for _ in range(REPETITIONS):
        if response.status_code != 503 or "retry-after" not in response.headers:
            return response.status_code >= 500
        time.sleep(float(response.headers["retry-after"][0]))
        response = case.call()
    return True
"""


@dataclass(frozen=True)
class Campaign:
    """Who sends the requests, as the program's configuration, and which operations they are kept to."""

    configuration: str
    operations: tuple[str, ...] = ()

    def run(
        self, url: str, *, examples: int, seed: int, seconds: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Send so many made-up requests for each operation, besides all that lie at the edges of what is valid.

        With ``seconds`` there is no end to them before the time is over.
        """
        with TemporaryDirectory(prefix="openapi-") as folder:
            configuration = Path(folder) / "schemathesis.toml"
            configuration.write_text(COMMON + self.configuration)
            (Path(folder) / "hooks.py").write_text(HOOKS)
            return subprocess.run(
                [
                    *PROGRAM,
                    "--config-file",
                    configuration,
                    "run",
                    f"{url}/api/v1/openapi.json",
                    *("--phases", "examples,coverage,fuzzing" if seconds is None else "coverage,fuzzing,stateful"),
                    *("--exclude-checks", ",".join(LEFT_OUT)),
                    *("--max-examples", str(examples)),
                    *("--seed", str(seed)),
                    *(() if seconds is None else ("--max-time", str(seconds))),
                    *("--generation-database", "none", "--warnings", "off", "--no-color"),
                    *self.operations,
                ],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )


def as_administrator(url: str) -> Campaign:
    """Of the platform: whatever else is changed, the last one is neither demoted nor deleted."""
    with administrator(url) as http:
        user = {"email": f"{uuid4().hex}@example.org", "password": ADMIN_PASSWORD, "role": "viewer"}
        user_id = http.post("/users", json=user).raise_for_status().json()["id"]
    return Campaign(ADMINISTRATOR + COLLEAGUE.format(user_id=user_id))


def as_device(url: str) -> Campaign:
    """Register a device, and speak with its key."""
    with administrator(url) as http:
        device = {"serial_number": uuid4().hex, "device_type": "pump"}
        device_id = http.post("/devices", json=device).raise_for_status().json()["id"]
        issued = http.post(f"/devices/{device_id}/credentials", json={}).raise_for_status().json()
    configuration = DEVICE.format(api_key=issued["api_key"], device_id=device_id)
    return Campaign(configuration, ("--include-by", "/x-device-may == true"))


@contextmanager
def administrator(url: str) -> Iterator[httpx.Client]:
    """Be logged in as the platform administrator, who has to be able to."""
    with patient_client(f"{url}/api/v1") as http:
        login = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        token = http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="for each of the callers")
    parser.add_argument("--seed", type=int, default=uuid4().int % 2**32)
    chosen = parser.parse_args()
    platform = RunningPlatform()
    try:
        platform.start()
        for campaign in (as_device(platform.url), as_administrator(platform.url)):
            run = campaign.run(platform.url, examples=100, seed=chosen.seed, seconds=chosen.seconds)
            print(run.stdout, run.stderr)  # noqa: T201
            if run.returncode:
                return run.returncode
        return platform.stop()
    finally:
        platform.remove()


if __name__ == "__main__":
    sys.exit(main())
