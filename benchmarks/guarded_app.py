"""The platform's application with two operations more that do nothing: one for anybody, one for whoever has a key.

Between the two there is nothing but recognising and admitting the caller.
"""

import hypercorn.asyncio
from quart import Blueprint

from iotsphere.api.operation import operation
from iotsphere.app import create_app
from iotsphere.cli.roles import run_role
from iotsphere.cli.roles.serve import hypercorn_config, spare_from_collection
from iotsphere.cli.signals import stop_requested
from iotsphere.config import Settings
from iotsphere.containers.application import create_container
from iotsphere.kernel.actor import Role

blueprint = Blueprint("benchmark", __name__)


@blueprint.get("/open")
@operation("Do nothing for anybody", allow=None, throttled=False, status=204)
async def answer_anybody() -> None:
    return


@blueprint.get("/guarded")
@operation("Do nothing for whoever has a credential", allow=Role.VIEWER, device_may=True, status=204)
async def answer_the_known() -> None:
    return


async def serve(settings: Settings) -> None:
    app = create_app(create_container(settings))
    app.register_blueprint(blueprint)
    spare_from_collection()
    await hypercorn.asyncio.serve(app, hypercorn_config(settings), shutdown_trigger=stop_requested().wait)


if __name__ == "__main__":
    run_role(serve)
