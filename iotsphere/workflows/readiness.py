"""Asks every store whether it answers, how fast, and what it is."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from iotsphere.kernel.errors import UnavailableError


class StoreProbe(Protocol):
    async def probe(self) -> str:
        """Make a round trip to the store and give its engine with version.

        :raises UnavailableError: it does not answer, or its schema is not there.
        """

    async def find_remark(self) -> str | None:
        """Give what else is to be known of a store that answers.

        :raises UnavailableError: it does not any more.
        """


@dataclass(frozen=True, slots=True)
class StoreCondition:
    """How a store answered: ``engine`` is None, and ``detail`` says why, where it did not.

    Where it did, ``detail`` says what else is to be known of it, if anything is.
    """

    is_up: bool
    latency_ms: float
    engine: str | None = None
    detail: str | None = None


class ReadinessWorkflow:
    def __init__(self, *, probes: Mapping[str, StoreProbe]) -> None:
        self._probes = probes

    async def examine_stores(self) -> dict[str, StoreCondition]:
        """Ask all stores at once; the slowest, not the sum, decides how long it takes."""
        conditions = await asyncio.gather(*(_examine(probe) for probe in self._probes.values()))
        return dict(zip(self._probes, conditions, strict=True))


async def _examine(probe: StoreProbe) -> StoreCondition:
    began = time.perf_counter()
    try:
        engine = await probe.probe()
        latency_ms = _milliseconds_since(began)
        remark = await probe.find_remark()
    except UnavailableError as error:
        return StoreCondition(is_up=False, latency_ms=_milliseconds_since(began), detail=error.detail)
    return StoreCondition(is_up=True, latency_ms=latency_ms, engine=engine, detail=remark)


def _milliseconds_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
