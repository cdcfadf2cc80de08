"""Assets by the file over HTTP."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, fields
from quart import Blueprint, Response

from iotsphere.api.assets.asset_lines import ASSET_LINES, AssetLineAnswer, ImportAssetBody
from iotsphere.api.assets.search import AssetFilterQuery
from iotsphere.api.bulk import (
    MAX_IMPORT_BYTES,
    MAX_IMPORT_LINES,
    ImportedLineAnswer,
    Settled,
    export_file,
    import_spool,
)
from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.operation import CSV, NDJSON, Admission, operation
from iotsphere.api.recording import Change, record_change, to_its_end
from iotsphere.api.spool import Spool
from iotsphere.assets.asset_line import AssetFile, AssetLine
from iotsphere.assets.portion import ImportedAsset, ImportOutcome, ImportStatus
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError
from iotsphere.workflows.asset_files import AssetFileWorkflow

# Each may take half a megabyte: of more at once a statement would not come to its end in time.
PAGE_ASSETS = 100

TREES = {
    NDJSON: '{"key": "site", "asset_type": "site", "name": "Harburg"}\n'
    '{"parent_key": "site", "asset_type": "hall", "name": "Hall A", "properties": {"area_m2": 900}}\n',
    CSV: "key,parent_key,asset_type,name,properties.area_m2\nsite,,site,Harburg,\n,site,hall,Hall A,900\n",
}

blueprint = Blueprint("asset_bulk", __name__)


class ImportAssetsQuery(Schema):
    copy = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        metadata={
            "description": "The file was exported elsewhere: ids are keys of the file, and assets are added, "
            "but for those of devices, which are changed."
        },
    )


class ImportedAssetAnswer(ImportedLineAnswer):
    status = fields.String(metadata={"enum": [*ImportStatus, "rejected"]})


@blueprint.post("/assets/import")
@operation(
    "Add and change the assets of a file; every line is answered for, and a bad one costs no other",
    allow=Role.OPERATOR,
    query=ImportAssetsQuery(),
    body=ImportAssetBody(),
    media_types=(NDJSON, CSV),
    examples=TREES,
    max_body_bytes=MAX_IMPORT_BYTES,
    max_lines=MAX_IMPORT_LINES,
    answer=ImportedAssetAnswer(),
    answer_types=(NDJSON,),
    creates=True,
)
@inject
async def import_assets(
    attempt: Attempt,
    admission: Admission,
    query: dict[str, Any],
    spool: Spool,
    files: AssetFileWorkflow = Provide["workflows.asset_files"],
) -> Response:
    file = AssetFile(attempt.organisation_id, actor=attempt.caller.name, is_copy=query["copy"])

    async def settle(lines: list[AssetLine]) -> Sequence[Settled | DomainError]:
        return await to_its_end(_settle(attempt, files, file, lines))

    return import_spool(spool, ASSET_LINES, find_refusal=admission.find_refusal, settle=settle)


async def _settle(
    attempt: Attempt, files: AssetFileWorkflow, file: AssetFile, lines: Sequence[AssetLine]
) -> Sequence[Settled | DomainError]:
    outcomes = await files.settle_lines(file=file, lines=lines)
    changes = [change for outcome in outcomes if (change := _change_by(outcome))]
    # Together, so that the trail takes them in as one.
    await asyncio.gather(*(record_change(attempt, change) for change in changes))
    return told(outcomes)


def told(outcomes: Sequence[ImportOutcome]) -> list[Settled | DomainError]:
    return [
        Settled(outcome.id, outcome.status) if isinstance(outcome, ImportedAsset) else outcome for outcome in outcomes
    ]


def _change_by(outcome: ImportOutcome) -> Change | None:
    if isinstance(outcome, DomainError) or outcome.status is ImportStatus.UNCHANGED:
        return None
    details: dict[str, Any] = {"version": outcome.version, "changed": [*outcome.said]}
    if outcome.status is ImportStatus.CREATED:
        details = {"asset_type": outcome.asset_type, "name": outcome.name}
    if "parent_id" in outcome.said and outcome.parent_id:
        details["parent_id"] = str(outcome.parent_id)
    return f"asset:{outcome.id}", details


@blueprint.get("/assets/export")
@operation(
    "Export assets, each before what is below it, as lines of JSON or as CSV; a file that imports again",
    allow=Role.OPERATOR,
    query=AssetFilterQuery(),
    answer=AssetLineAnswer(),
    answer_types=(NDJSON, CSV),
    also={404: ProblemAnswer()},
)
@inject
async def export_assets(
    actor: Actor, query: dict[str, Any], files: AssetFileWorkflow = Provide["workflows.asset_files"]
) -> Response:
    listing = partial(files.list_assets, organisation_id=actor.organisation_id, **query)
    return await export_file(listing, ASSET_LINES, name="assets", page_items=PAGE_ASSETS)
