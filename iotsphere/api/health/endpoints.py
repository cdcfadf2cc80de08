"""What operators and orchestrators ask: does it live, can it work, how is it doing."""

import asyncio

from dependency_injector.wiring import Provide, inject
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Blueprint, Response

from iotsphere.api.errors import RETRY_AFTER_SECONDS
from iotsphere.api.health.schemas import LivenessAnswer, ReadinessAnswer
from iotsphere.api.json_body import encode_json
from iotsphere.api.operation import JSON, operation
from iotsphere.shadow.backlog import BacklogReport
from iotsphere.telemetry.rollup_backlog import RollupBacklogReport
from iotsphere.workflows.readiness import ReadinessWorkflow

blueprint = Blueprint("health", __name__)


@blueprint.get("/health/live")
@operation("Tell that the process answers", allow=None, throttled=False, answer=LivenessAnswer())
async def show_liveness() -> dict[str, str]:
    return {"status": "live"}


@blueprint.get("/health/ready")
@operation(
    "Tell whether all four stores answer, which engine each is, and how fast",
    allow=None,
    throttled=False,
    answer=ReadinessAnswer(),
    also={503: ReadinessAnswer()},
)
@inject
async def show_readiness(readiness: ReadinessWorkflow = Provide["workflows.readiness"]) -> Response:
    stores = await readiness.examine_stores()
    is_ready = all(store.is_up for store in stores.values())
    body = ReadinessAnswer().dump({"status": "ready" if is_ready else "unavailable", "stores": stores})
    response = Response(encode_json(body), status=200 if is_ready else 503, content_type=JSON)
    if not is_ready:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


@blueprint.get("/metrics")
@inject
async def show_metrics(
    backlog: BacklogReport = Provide["shadow.backlog"],
    rollups: RollupBacklogReport = Provide["telemetry.rollup_backlog"],
) -> Response:
    await asyncio.gather(backlog.tell_metrics(), rollups.tell_metrics())
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
