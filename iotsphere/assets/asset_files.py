"""Assets by the file: lines that add what is new and change what is there, each answered for by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from iotsphere.assets.asset_line import AssetFile, AssetLine, KnownAsset
from iotsphere.assets.errors import SearchTooCostlyError, TreeBusyError
from iotsphere.assets.model import Asset
from iotsphere.assets.portion import AssetDraft, ImportedAsset, ImportOutcome, ImportStatus, LinePortion, Schemas
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.search import AssetFilter
from iotsphere.assets.service import AssetService
from iotsphere.assets.settlement import MovesOthersError, begin_settlement, imported, without_same_properties
from iotsphere.assets.turns import Turns
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import DomainError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId, IdSource, OrganisationId, rising
from iotsphere.kernel.pagination import Page

# One import of an organisation has a connection at a time, beside what its other requests have.
IMPORTS_OF_ONE = 1
LONGEST_WAIT_SECONDS = 30.0
# Against so many of the largest any predicate is held in the time of a statement.
FEW_ASSETS = 10

SchemaSource = Callable[[Collection[DeviceId]], Awaitable[Schemas]]
"""Gives what the types of devices say of the properties of their assets, where they say anything."""
Settle = Callable[[AssetFile, Sequence[AssetDraft]], Awaitable[list[ImportOutcome]]]


class AssetFileService:
    """Works through lines of files. What has others below it is moved by ``assets``, as anybody moves it."""

    def __init__(
        self, *, unit_of_work: AssetsUnitOfWorkFactory, assets: AssetService, clock: Clock, new_id: IdSource
    ) -> None:
        self._unit_of_work = unit_of_work
        self._assets = assets
        self._clock = clock
        self._new_id = new_id
        self._turns = Turns(TreeBusyError, places_of_one=IMPORTS_OF_ONE, longest_wait_seconds=LONGEST_WAIT_SECONDS)

    async def settle_lines(
        self, *, file: AssetFile, lines: Sequence[AssetLine], find_schemas: SchemaSource
    ) -> list[ImportOutcome]:
        """Do what lines of a file say; give for each what has become of it, or why nothing has.

        Each line finds everything as the lines above it have left it.
        """
        try:
            known = await file.patiently(partial(self._find_known, file.organisation_id, lines))
            device_ids = {asset.device_id for asset in known if asset.device_id is not None}
            schemas = await file.patiently(partial(find_schemas, device_ids))
        except UnavailableError as error:
            return [error for _ in lines]
        portion = LinePortion(file, lines, known, schemas)
        outcomes: dict[int, ImportOutcome] = {}
        for round_ in portion.plan():
            outcomes |= await self._settle_round(file, portion, round_)
        return [outcomes[line] for line in range(len(lines))]

    async def list_assets(
        self, *, organisation_id: OrganisationId, narrowed_to: AssetFilter, limit: int, cursor: str | None
    ) -> Page[Asset]:
        """List assets in the order of the trees, each before what is below it.

        What moves between two pages may be met twice or not at all; nothing else is. If there is an ancestor, it is
        at the top of what is listed, and no word is said of what it is part of.

        :raises AssetNotFoundError: what is looked for is below, or related to, an asset that is not there.
        :raises SearchTooCostlyError: even of few assets it takes too long to tell which are looked for.
        """
        find = partial(self._find_page, organisation_id, narrowed_to, cursor)
        try:
            page = await find(limit)
        except SearchTooCostlyError:
            if limit <= FEW_ASSETS:
                raise
            page = await find(FEW_ASSETS)
        top = narrowed_to.ancestor
        items = [replace(asset, parent_id=None) if asset.id == top else asset for asset in page.items]
        return Page(items, page.next_cursor)

    async def _find_page(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, cursor: str | None, limit: int
    ) -> Page[Asset]:
        async with self._unit_of_work() as uow:
            return await uow.asset_files.list(organisation_id, narrowed_to, limit=limit, cursor=cursor)

    async def _find_known(self, organisation_id: OrganisationId, lines: Sequence[AssetLine]) -> list[KnownAsset]:
        asset_ids = {line.asset_id for line in lines if line.asset_id}
        device_ids = {line.device_id for line in lines if line.device_id}
        if not asset_ids and not device_ids:
            return []
        async with self._unit_of_work() as uow:
            return await uow.asset_files.find_known(organisation_id, asset_ids=asset_ids, device_ids=device_ids)

    async def _settle_round(
        self, file: AssetFile, portion: LinePortion, round_: Sequence[int]
    ) -> dict[int, ImportOutcome]:
        outcomes: dict[int, ImportOutcome] = {}
        drafts: dict[int, AssetDraft] = {}
        new_id = rising(self._new_id, len(round_))
        for line in round_:
            try:
                drafts[line] = portion.draft(line, new_id)
            except DomainError as error:
                outcomes[line] = error
        settle = self._change if portion.is_alone(round_[0]) else self._settle_together
        settled = await _settle_patiently(settle, file, list(drafts.values()))
        for (line, draft), first in zip(drafts.items(), settled, strict=True):
            outcome = first
            if isinstance(first, MovesOthersError):
                (outcome,) = await _settle_patiently(self._change, file, [draft])
            outcomes[line] = outcome
            if isinstance(outcome, ImportedAsset):
                portion.remember(line, outcome.id)
        return outcomes

    async def _change(self, file: AssetFile, drafts: Sequence[AssetDraft]) -> list[ImportOutcome]:
        return [await self._change_one(file, draft) for draft in drafts]

    async def _change_one(self, file: AssetFile, draft: AssetDraft) -> ImportOutcome:
        """Change what may move others along; where it turns out to stay where it is, as all others are changed."""
        try:
            asset = await self._assets.get_asset(organisation_id=file.organisation_id, asset_id=draft.asset_id)
            if asset.parent_id == draft.patch.get("parent_id"):
                return (await self._settle_together(file, [draft]))[0]
            patch = without_same_properties(draft.patch, asset)
            asset = await self._assets.change_asset(
                organisation_id=file.organisation_id,
                asset_id=draft.asset_id,
                changed_by=file.actor,
                patch=patch,
                expected_version=None,
                properties_schema=draft.properties_schema if "properties" in patch else None,
            )
        except (UnavailableError, TreeBusyError):
            raise
        except DomainError as error:
            return error
        return imported(asset, ImportStatus.UPDATED, draft)

    async def _settle_together(self, file: AssetFile, drafts: Sequence[AssetDraft]) -> list[ImportOutcome]:
        if not drafts:
            return []
        settle = partial(self._settle_holding, file, drafts)
        if not any(draft.moves for draft in drafts):
            outcomes = await settle(alone=False)
            if outcomes is not None:
                return outcomes
        return await settle(alone=True) or []

    async def _settle_holding(
        self, file: AssetFile, drafts: Sequence[AssetDraft], *, alone: bool
    ) -> list[ImportOutcome] | None:
        """Do all of it in one transaction; None if something moves after all, for which the trees are held alone."""
        async with self._turns.turn(file.organisation_id), self._unit_of_work() as uow:
            if alone or any(draft.patch.get("parent_id") for draft in drafts):
                await uow.places.hold(file.organisation_id, alone=alone)
            settlement = await begin_settlement(uow, file, drafts, self._clock())
            outcomes = []
            for draft in drafts:
                outcomes.append(settlement.take(draft))
                if draft.properties_schema is not None:
                    # To hold properties against a schema may take long; others get their turn.
                    await asyncio.sleep(0)
            if settlement.moved and not alone:
                return None
            await settlement.keep(uow)
            await uow.commit()
        return outcomes


async def _settle_patiently(settle: Settle, file: AssetFile, drafts: Sequence[AssetDraft]) -> list[ImportOutcome]:
    try:
        return await file.patiently(partial(settle, file, drafts))
    except (UnavailableError, TreeBusyError) as error:
        return [error for _ in drafts]
