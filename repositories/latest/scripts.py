"""The scripts that keep latest values in Redis, as db/shadow/keyspace.md describes them.

Each carries the ``run_id`` of the server in its text, and so does what it keeps: after a restart the scripts are not
known, and what was kept before is not believed, whatever file the server was started with.
"""

from enum import StrEnum
from hashlib import sha1

from iotsphere.telemetry.latest import MOST_BYTES

# How long values are kept: what nobody reads any more goes away, and so does what the database has dropped.
KEPT_MILLISECONDS = 3_600_000
# Longer than anybody takes from marking to settling.
MARKED_MILLISECONDS = 60_000
# Longer than the database takes to tell a device's latest values.
LEASE_MILLISECONDS = 5000
# For that long nobody tries again to keep a device of which there is too much.
LARGE_MILLISECONDS = 60_000

# Names that begin with a colon are those of no metric.
_FUNCTIONS = f"""
local function starts(text, beginning)
    return string.sub(text, 1, #beginning) == beginning
end
local function enlarge(key)
    redis.call('DEL', key)
    redis.call('HSET', key, ':state', 'large')
    redis.call('PEXPIRE', key, {LARGE_MILLISECONDS})
end
local function apply(key, values, replaces)
    local metrics, changes, size = {{}}, {{}}, 0
    for metric in pairs(values) do
        metrics[#metrics + 1] = metric
    end
    if #metrics == 0 then
        return
    end
    local held = redis.call('HMGET', key, unpack(metrics))
    for i, metric in ipairs(metrics) do
        local old, new = held[i], values[metric]
        local was, is = old and string.sub(old, 8, 34), string.sub(new, 8, 34)
        if not old or was < is or (replaces and was == is) then
            changes[#changes + 1] = metric
            changes[#changes + 1] = new
            size = size + #new - (old and #old or -#metric)
        end
    end
    if #changes > 0 then
        redis.call('HSET', key, unpack(changes))
        redis.call('HINCRBY', key, ':size', size)
    end
end
"""


class LatestScript(StrEnum):
    # KEYS: a device. ARGV: the epoch, a token, the metrics or none. Gives a JSON object, 1 if the token has become a
    # lease, 0 if the database is to be asked.
    FIND = f"""
local state, mark = unpack(redis.call('HMGET', KEYS[1], ':state', ':mark'))
if state == RUN .. ' ' .. ARGV[1] and not mark then
    local found = {{}}
    if #ARGV == 2 then
        local all = redis.call('HGETALL', KEYS[1])
        for i = 1, #all, 2 do
            if string.byte(all[i]) ~= 58 then
                found[#found + 1] = '"' .. all[i] .. '":' .. all[i + 1]
            end
        end
    else
        local texts = redis.call('HMGET', KEYS[1], unpack(ARGV, 3))
        for i, text in ipairs(texts) do
            if text then
                found[#found + 1] = '"' .. ARGV[i + 2] .. '":' .. text
            end
        end
    end
    return '{{' .. table.concat(found, ',') .. '}}'
end
if mark or state == 'large' or (state and starts(state, 'filling ')) then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], ':state', 'filling ' .. RUN .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], {LEASE_MILLISECONDS})
return 1
"""

    # KEYS: a device. ARGV: the token of the lease, the epoch, the values by metric, packed, or an empty text.
    FILL = f"""
if redis.call('HGET', KEYS[1], ':state') ~= 'filling ' .. RUN .. ' ' .. ARGV[1] then
    return
end
if ARGV[3] == '' then
    return enlarge(KEYS[1])
end
local time = redis.call('TIME')
local gone_at = string.format('%.0f', time[1] * 1000 + {KEPT_MILLISECONDS})
redis.call('HSET', KEYS[1], ':state', RUN .. ' ' .. ARGV[2], ':gone_at', gone_at)
apply(KEYS[1], cmsgpack.unpack(ARGV[3]))
redis.call('PEXPIREAT', KEYS[1], gone_at)
"""

    # KEYS: devices. ARGV: a token. Gives the places of those of which values are kept. Where another has marked, and
    # has not settled yet or has come to its end, only the database can tell.
    MARK = f"""
local kept = {{}}
for i, key in ipairs(KEYS) do
    local state, mark = unpack(redis.call('HMGET', key, ':state', ':mark'))
    if state and state ~= 'large' then
        if mark or not starts(state, RUN .. ' ') then
            redis.call('DEL', key)
        else
            redis.call('HSET', key, ':mark', RUN .. ' ' .. ARGV[1])
            redis.call('PEXPIRE', key, {MARKED_MILLISECONDS})
            kept[#kept + 1] = i
        end
    end
end
return kept
"""

    # KEYS: devices. ARGV: the token, 1 if values of the same time are replaced, and for each device its values by
    # metric, packed, or an empty text to forget them.
    SETTLE = f"""
for i, key in ipairs(KEYS) do
    local packed = ARGV[i + 2]
    if packed == '' or redis.call('HGET', key, ':mark') ~= RUN .. ' ' .. ARGV[1] then
        redis.call('DEL', key)
    else
        apply(key, cmsgpack.unpack(packed), ARGV[2] == '1')
        local size, gone_at = unpack(redis.call('HMGET', key, ':size', ':gone_at'))
        if tonumber(size or '0') > {MOST_BYTES} then
            enlarge(key)
        else
            redis.call('HDEL', key, ':mark')
            redis.call('PEXPIREAT', key, gone_at)
        end
    end
end
"""

    def text(self, run: str) -> str:
        return f"local RUN = '{run}'\n{_FUNCTIONS}{self.value}"

    def digest(self, run: str) -> str:
        return sha1(self.text(run).encode(), usedforsecurity=False).hexdigest()
