import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId

GET = sa.text("SELECT number FROM latest_epoch")
ADD = sa.text("UPDATE latest_epoch SET number = number + 1")

# Whoever writes has the device's line until they commit, and would let nobody share it.
FIND_AT_REST = sa.text("SELECT id FROM sources WHERE device_id = :device_id FOR SHARE SKIP LOCKED")


class SqlAlchemyEpochRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self) -> int:
        return int((await self._connection.execute(GET)).scalar_one())

    async def add(self) -> None:
        await self._connection.execute(ADD)

    async def is_at_rest(self, device_id: DeviceId) -> bool:
        found = await self._connection.execute(FIND_AT_REST, {"device_id": device_id})
        return found.first() is not None
