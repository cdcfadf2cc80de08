"""Searches of one organisation leave room for those of others."""

import asyncio
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

import pytest

from iotsphere.assets.errors import SearchBusyError
from iotsphere.assets.search import AssetFilter
from iotsphere.assets.searching import PLACES_OF_ONE, AssetSearchService
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page

OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())


class SlowUnitOfWork:
    """Has no answer for one organisation."""

    def __init__(self) -> None:
        self.search = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def list(self, organisation_id: OrganisationId, *_: Any, **__: Any) -> Page[Any]:
        if organisation_id == OURS:
            await asyncio.Event().wait()
        return Page([], None)


async def test_who_waits_too_long_is_told_when_to_come_again_and_others_do_not_wait() -> None:
    opened: Any = SlowUnitOfWork
    service = AssetSearchService(unit_of_work=opened, longest_wait_seconds=0.01)

    async def search(organisation_id: OrganisationId) -> Page[Any]:
        return await service.search_assets(
            organisation_id=organisation_id, narrowed_to=AssetFilter(), limit=1, cursor=None
        )

    at_it = [asyncio.create_task(search(OURS)) for _ in range(PLACES_OF_ONE)]
    await asyncio.sleep(0)
    with pytest.raises(SearchBusyError) as refused:
        await search(OURS)
    assert (await search(THEIRS)).items == []
    assert refused.value.retry_after_seconds > 0

    for task in at_it:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
