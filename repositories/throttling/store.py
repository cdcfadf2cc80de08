"""Allowances in Redis: every process takes from the same, and no two of them the same part."""

from collections.abc import Sequence
from typing import Any

from redis import exceptions as refusals

from iotsphere.throttling.model import FAMILIAR_SECONDS, SECOND, Demand, Taking, digest
from repositories.availability import StoreGate
from repositories.redis import RedisReach, create_redis_client

# What a request waits for its limit at the most; then its process decides by itself.
ANSWER_SECONDS = 0.2

# KEYS: the subjects. ARGV: for each of them the limit's interval in microseconds, its burst, and how many are wanted.
# A key holds when its allowance will be whole, by the server's clock, and is gone when it is. The answer is either 0
# and what was granted of each, or which refused and for how long. iotsphere.throttling.model says it in Python.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local granted, whole_at, refused, wait = {}, {}, 0, 0
for i, key in ipairs(KEYS) do
    local interval, burst, wanted = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local missing = math.max(tonumber(redis.call('GET', key) or 0) - now, 0)
    local room = math.floor((burst * interval - missing) / interval)
    if room < 1 and missing - (burst - 1) * interval > wait then
        refused, wait = i, missing - (burst - 1) * interval
    end
    granted[i] = math.min(room, wanted)
    whole_at[i] = now + missing + granted[i] * interval
end
if refused > 0 then
    return {refused, wait}
end
for i, key in ipairs(KEYS) do
    if granted[i] > 0 then
        redis.call('SET', key, string.format('%.0f', whole_at[i]), 'PX', math.ceil((whole_at[i] - now) / 1000))
    end
end
return {0, unpack(granted)}
"""

# KEYS: the subjects. ARGV: for each of them how many microseconds earlier its allowance is whole.
GIVE_BACK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
    local whole_at = tonumber(redis.call('GET', key) or 0) - tonumber(ARGV[i])
    if whole_at > now then
        redis.call('SET', key, string.format('%.0f', whole_at), 'PX', math.ceil((whole_at - now) / 1000))
    else
        redis.call('DEL', key)
    end
end
"""


class RedisThrottleStore:
    """Allowances as db/shadow/keyspace.md describes them.

    The gate is one of its own, for this is not waited for as long as a shadow is. Whatever Redis refuses, such as a
    right that the account has not got, counts as an outage: no request fails because it cannot be counted.
    """

    def __init__(self, url: str, gate: StoreGate, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._reach = RedisReach(gate)
        self._answer_seconds = answer_seconds
        self._redis = create_redis_client(
            url, retries=0, answer_seconds=answer_seconds, connect_seconds=answer_seconds
        )
        self._take = self._redis.register_script(TAKE)
        self._give_back = self._redis.register_script(GIVE_BACK)

    async def take(self, demands: Sequence[Demand]) -> Taking:
        values = [value for demand in demands for value in (demand.limit.interval, demand.limit.burst, demand.wanted)]
        refused, *answer = await self._ask(self._take, [_key(demand) for demand in demands], values)
        if refused:
            return Taking((), demands[refused - 1].limit, answer[0] / SECOND)
        return Taking(tuple(answer))

    async def give_back(self, demands: Sequence[Demand]) -> None:
        values = [demand.wanted * demand.limit.interval for demand in demands]
        await self._ask(self._give_back, [_key(demand) for demand in demands], values)

    async def add_familiar(self, account: str, network: str) -> None:
        await self._ask(self._redis.set, _familiar_key(account, network), 1, ex=FAMILIAR_SECONDS)

    async def find_familiar(self, account: str, network: str) -> bool:
        return bool(await self._ask(self._redis.exists, _familiar_key(account, network)))

    async def _ask(self, command: Any, *given: Any, **options: Any) -> Any:
        try:
            async with self._reach.reach(seconds=self._answer_seconds):
                return await command(*given, **options)
        except refusals.RedisError as error:
            raise self._reach.gate.failed() from error

    async def close(self) -> None:
        await self._redis.aclose()


def _key(demand: Demand) -> str:
    # The braces keep all of them in one slot of a cluster, as a script over several of them needs.
    return f"iotsphere:{{throttle}}:{demand.limit.name}:{demand.subject}"


def _familiar_key(account: str, network: str) -> str:
    return f"iotsphere:{{throttle}}:familiar:{digest(account, network)}"
