"""A running platform answers as its OpenAPI document says, whatever it is sent."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from features.support.running import RunningPlatform
from tests.integration.openapi.campaign import Campaign, administrator, as_administrator, as_device

EXAMPLES = 3
SEED = 20261121


@pytest.fixture(scope="module")
def platform() -> Iterator[RunningPlatform]:
    platform = RunningPlatform()
    try:
        platform.start()
        yield platform
        assert platform.stop() == 0
    finally:
        platform.remove()


def check(platform: RunningPlatform, campaign: Campaign, *, operations: int) -> None:
    run = campaign.run(platform.url, examples=EXAMPLES, seed=SEED)

    assert run.returncode == 0, run.stdout + run.stderr
    assert f"Tested: {operations}" in run.stdout


def described(platform: RunningPlatform) -> list[dict[str, object]]:
    document = httpx.get(f"{platform.url}/api/v1/openapi.json", trust_env=False).json()
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_to_a_device(platform: RunningPlatform) -> None:
    check(platform, as_device(platform.url), operations=sum(bool(o["x-device-may"]) for o in described(platform)))


def test_to_an_administrator(platform: RunningPlatform) -> None:
    """What devices may do as well, they have done on a device that is there: an administrator's would be made up."""
    alone = replace(as_administrator(platform.url), operations=("--exclude-by", "/x-device-may == true"))
    check(platform, alone, operations=sum(not o["x-device-may"] for o in described(platform)))

    # Otherwise most of it was tried by nobody who could be recognised.
    with administrator(platform.url) as http:
        assert http.get("/me").json()["role"] == "admin"
