"""The scripts that run inside Redis.

A document is never parsed there but for its header: cjson would make {} of [] and floats of large integers.
"""

from enum import IntEnum, StrEnum
from hashlib import sha1

GROUP = "journal"
# What may wait for the journal before writes are refused.
MAX_BACKLOG_BYTES = 256 * 1024 * 1024
# How long a read during a rebuild remembers that the journal knows no such shadow.
UNKNOWN_SECONDS = 60


class Answer(IntEnum):
    """What a script answers when it has not done what it was asked to."""

    CONFLICT = 0
    UNVERIFIED = 1
    UNRESTORED = 2
    FULL = 3
    DAMAGED = 4


_ANSWERS = "".join(f"local {answer.name} = {answer.value}\n" for answer in Answer)

# The index is ordered by the server's clock in microseconds, never falling back, so that the newest name comes last
# whoever adds it.
_FUNCTIONS = """
local function header(key)
    local start = redis.call('GETRANGE', key, 0, 47)
    local generation, version = string.match(start, '^(%d+) (%d+)\\n')
    return generation, version, start ~= '' and not generation
end
local function index(names, name, is_deleted)
    if is_deleted == '1' then
        redis.call('ZREM', names, name)
    elseif not redis.call('ZSCORE', names, name) then
        local time = redis.call('TIME')
        local newest = redis.call('ZRANGE', names, -1, -1, 'WITHSCORES')[2] or 0
        local place = math.max(time[1] * 1000000 + time[2], newest + 1)
        redis.call('ZADD', names, string.format('%.0f', place), name)
    end
end
local function last_place(changes)
    if redis.call('EXISTS', changes) == 0 then
        return false
    end
    local facts = redis.call('XINFO', 'STREAM', changes)
    for i = 1, #facts, 2 do
        if facts[i] == 'last-generated-id' then
            return facts[i + 1]
        end
    end
end
local function measure(changes, bytes)
    local first = redis.call('XRANGE', changes, '-', '+', 'COUNT', 1)[1]
    local last = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)[1]
    return {redis.call('XLEN', changes), redis.call('GET', bytes) or '0', first and first[1] or false,
        last and last[1] or false}
end
"""


class BoundScript(StrEnum):
    """The scripts that trust what the store holds. Each takes the generation, as KEYS[1] and as ARGV[1]."""

    # KEYS: the generation, rebuilding, the document.
    READ = """
local marks = redis.call('MGET', KEYS[1], KEYS[2])
if marks[1] ~= ARGV[1] then
    return UNVERIFIED
end
if marks[2] and header(KEYS[3]) ~= ARGV[1] then
    return UNRESTORED
end
return redis.call('GET', KEYS[3])
"""

    # KEYS: the generation, rebuilding, the names. ARGV: the generation, behind which place, how many, the prefix of
    # the documents. Gives name, place and version of each.
    LIST = """
local marks = redis.call('MGET', KEYS[1], KEYS[2])
if marks[1] ~= ARGV[1] then
    return UNVERIFIED
end
if marks[2] then
    return UNRESTORED
end
local found = redis.call('ZRANGE', KEYS[3], '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local listed = {}
for i = 1, #found, 2 do
    local generation, version = header(ARGV[4] .. found[i])
    if not generation then
        return DAMAGED
    end
    listed[#listed + 1] = {found[i], found[i + 1], version}
end
return listed
"""

    # KEYS: the generation, rebuilding, the document, the changes, the bytes of the backlog, and for a named shadow
    # the names. ARGV: the generation, the version to replace, the new version, the document, the change, the bytes
    # that the backlog may have, and for a named shadow its name and 1 if it is deleted.
    # Whatever can fail is done before the first write or is that write, the XADD: a script is not rolled back.
    WRITE = """
local marks = redis.call('MGET', KEYS[1], KEYS[2])
if marks[1] ~= ARGV[1] then
    return UNVERIFIED
end
local generation, version, is_damaged = header(KEYS[3])
if is_damaged then
    return DAMAGED
end
if marks[2] and generation ~= ARGV[1] then
    return UNRESTORED
end
if (version or '0') ~= ARGV[2] then
    return CONFLICT
end
local size = #ARGV[4] + #ARGV[5]
if tonumber(redis.call('GET', KEYS[5]) or '0') + size > tonumber(ARGV[6]) then
    return FULL
end
if #KEYS == 6 then
    redis.call('ZSCORE', KEYS[6], ARGV[7])
end
local position = redis.call('XADD', KEYS[4], '*', 'change', ARGV[5], 'shadow', ARGV[4])
redis.call('INCRBY', KEYS[5], size)
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. ARGV[3] .. '\\n' .. ARGV[4])
if #KEYS == 6 then
    index(KEYS[6], ARGV[7], ARGV[8])
end
return position
"""

    # KEYS: the generation, and for each shadow its document and names. ARGV: the generation, and for each shadow its
    # version, document, name and 1 if it is deleted. Version 0 says that the journal knows no such shadow.
    RESTORE = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return UNVERIFIED
end
for i = 1, (#KEYS - 1) / 2 do
    local key, names = KEYS[2 * i], KEYS[2 * i + 1]
    local version, document, name, is_deleted = unpack(ARGV, 4 * i - 2, 4 * i + 1)
    local generation, held = header(key)
    if generation ~= ARGV[1] and version == '0' and (held or '0') == '0' then
        redis.call('SET', key, ARGV[1] .. ' 0\\n', 'EX', {UNKNOWN_SECONDS})
    elseif tonumber(version) > tonumber(held or '0') then
        redis.call('SET', key, ARGV[1] .. ' ' .. version .. '\\n' .. document)
        if name ~= '' then
            index(names, name, is_deleted)
        end
    elseif generation ~= ARGV[1] then
        local whole = redis.call('GET', key)
        redis.call('SET', key, ARGV[1] .. string.sub(whole, #generation + 1))
    end
end
return redis.status_reply('OK')
"""

    # KEYS: the generation, rebuilding. ARGV: the generation, how many per cent are restored. What has ended stays so.
    PROGRESS = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return UNVERIFIED
end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2], 'XX')
return redis.status_reply('OK')
"""

    # KEYS: the generation, rebuilding.
    END_REBUILDING = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return UNVERIFIED
end
redis.call('DEL', KEYS[2])
return redis.status_reply('OK')
"""

    # KEYS: the generation, confirmed. ARGV: the generation, the run.
    CONFIRM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return UNVERIFIED
end
return redis.call('SET', KEYS[2], ARGV[2])
"""

    # KEYS: the generation, rebuilding, the writer, the changes. ARGV: the generation, for how many milliseconds, the
    # run. Gives the first place and whether rebuilding.
    RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return UNVERIFIED
end
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[2])
local oldest = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
return {oldest and oldest[1] or false, redis.call('EXISTS', KEYS[2])}
"""

    # KEYS: the generation, the changes, the bytes of the backlog. Gives how many changes, their bytes, the first
    # place and the last.
    MEASURE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return UNVERIFIED
end
return measure(KEYS[2], KEYS[3])
"""

    # KEYS: the generation, rebuilding, the changes, confirmed, the run. ARGV: the run. Gives the generation, whether
    # rebuilding, the last place, the run that is confirmed, the last place when the run was looked at first: before
    # that nobody can have written in it, for it knew no script.
    LOOK = """
local last = last_place(KEYS[3])
local run, first = string.match(redis.call('GET', KEYS[5]) or '', '^(%S+) (%S+)$')
if run ~= ARGV[1] then
    first = last or '0-0'
    redis.call('SET', KEYS[5], ARGV[1] .. ' ' .. first)
end
return {redis.call('GET', KEYS[1]), redis.call('EXISTS', KEYS[2]), last, redis.call('GET', KEYS[4]), first}
"""

    def text(self, run: str) -> str:
        """Write the script for one run of the server, so that the next run knows none of its digest."""
        return f"-- {run}\n{_ANSWERS}{_FUNCTIONS}{self.value}"

    def digest(self, run: str) -> str:
        return sha1(self.text(run).encode(), usedforsecurity=False).hexdigest()


# The scripts below may be repeated, and run on whatever server answers.

# KEYS: the generation, rebuilding, the changes. ARGV: the generation, 1 if it has to be rebuilt.
BEGIN = f"""
pcall(redis.call, 'XGROUP', 'CREATE', KEYS[3], '{GROUP}', '0', 'MKSTREAM')
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then
    return
end
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] == '1' then
    redis.call('SET', KEYS[2], ARGV[1])
else
    redis.call('DEL', KEYS[2])
end
"""

# KEYS: the generation, rebuilding, the changes, the bytes of the backlog, the unreadable ones. Gives the generation,
# whether rebuilding, the last place, what MEASURE gives, and how many are unreadable.
SURVEY = f"""
{_FUNCTIONS}
return {{redis.call('GET', KEYS[1]), redis.call('EXISTS', KEYS[2]), last_place(KEYS[3]), measure(KEYS[3], KEYS[4]),
    redis.call('XLEN', KEYS[5])}}
"""

# KEYS: the changes, the unreadable ones. ARGV: the place of an entry.
PUT_ASIDE = """
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])) do
    redis.call('XADD', KEYS[2], '*', 'place', ARGV[1], unpack(entry[2]))
end
"""

# KEYS: the changes, the bytes of the backlog. ARGV: of each entry its place and the generation in which it was made,
# or none where that cannot be read. In another life of the store another change may have the same place. The
# generation is the first number of that name in the text: what comes before it is quoted.
SETTLE = f"""
local bytes = 0
for i = 1, #ARGV, 2 do
    local place, generation = ARGV[i], ARGV[i + 1]
    local entry = redis.call('XRANGE', KEYS[1], place, place)[1]
    if not entry or generation == '' or string.match(entry[2][2], '"generation":(%d+)') == generation then
        redis.call('XACK', KEYS[1], '{GROUP}', place)
        redis.call('XDEL', KEYS[1], place)
        for field = 2, entry and #entry[2] or 0, 2 do
            bytes = bytes + #entry[2][field]
        end
    end
end
redis.call('DECRBY', KEYS[2], bytes)
"""

# KEYS: the old hash, the document, the changes, the bytes of the backlog, the old names, the names. ARGV: the version
# that was converted, the generation, the document, the change, the name. 0 if the old hash has changed meanwhile.
CONVERT = f"""
{_FUNCTIONS}
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
    return 0
end
local _, held = header(KEYS[2])
if tonumber(held or '0') < tonumber(ARGV[1]) then
    redis.call('XADD', KEYS[3], '*', 'change', ARGV[4], 'shadow', ARGV[3])
    redis.call('INCRBY', KEYS[4], #ARGV[3] + #ARGV[4])
    redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[1] .. '\\n' .. ARGV[3])
    local place = redis.call('ZSCORE', KEYS[5], ARGV[5])
    if place then
        redis.call('ZADD', KEYS[6], place, ARGV[5])
    end
end
redis.call('ZREM', KEYS[5], ARGV[5])
redis.call('DEL', KEYS[1])
return 1
"""
