import asyncio

from iotsphere.kernel.errors import UnavailableError
from iotsphere.workflows.readiness import ReadinessWorkflow


class Probe:
    """Answers once all the others were asked too."""

    def __init__(self, barrier: asyncio.Barrier, answer: str | UnavailableError, remark: str | None = None) -> None:
        self._barrier = barrier
        self._answer = answer
        self._remark = remark

    async def probe(self) -> str:
        await self._barrier.wait()
        if isinstance(self._answer, UnavailableError):
            raise self._answer
        return self._answer

    async def find_remark(self) -> str | None:
        return self._remark


async def test_every_store_is_asked_at_once_and_answers_for_itself() -> None:
    barrier = asyncio.Barrier(3)
    workflow = ReadinessWorkflow(
        probes={
            "registry": Probe(barrier, "postgresql 17.6"),
            "assets": Probe(barrier, "postgresql 17.6", "It is being rebuilt."),
            "shadow": Probe(barrier, UnavailableError("shadow", "The shadow store does not answer.")),
        }
    )

    async with asyncio.timeout(10):
        conditions = await workflow.examine_stores()

    assert list(conditions) == ["registry", "assets", "shadow"]
    up, remarked, down = conditions.values()
    assert (up.is_up, up.engine, up.detail) == (True, "postgresql 17.6", None)
    assert (remarked.is_up, remarked.engine, remarked.detail) == (True, "postgresql 17.6", "It is being rebuilt.")
    assert (down.is_up, down.engine, down.detail) == (False, None, "The shadow store does not answer.")
    assert min(up.latency_ms, down.latency_ms) >= 0
