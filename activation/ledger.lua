-- The ledger's scripts. Each runs whole or not at all, on the keys of one destination (one hash slot).
-- KEYS: 1 due, 2 since, 3 failed (sorted sets of members), 4 the segment's entries (hash), 5 the lease.

-- name: prelude
-- An entry, as `activation.ledger.Entry` has it. REMOVE and ABSENT, ADD and PRESENT are the same numbers: an entry is
-- settled when what is wished is what is there.
local ACTION, SEQUENCE, AT, TRACE, THERE, ATTEMPTS, TRIES, FIRST, SENT, TURNS, STATUS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local ABSENT, PRESENT, UNKNOWN = 0, 1, 2
local SETTLED, PENDING, FAILED = 0, 1, 2
local NEVER = -1

local function read(field)
    local packed = redis.call('HGET', KEYS[4], field)
    return packed and cmsgpack.unpack(packed)
end

local function write(field, entry)
    redis.call('HSET', KEYS[4], field, cmsgpack.pack(entry))
end

local function leave(member)
    redis.call('ZREM', KEYS[1], member)
    redis.call('ZREM', KEYS[2], member)
    redis.call('ZREM', KEYS[3], member)
end

local function settle(member, entry)
    entry[STATUS] = SETTLED
    leave(member)
end

local function wait(member, entry, now, at)
    entry[STATUS] = PENDING
    redis.call('ZADD', KEYS[1], at, member)
    redis.call('ZADD', KEYS[2], 'NX', now, member)
    redis.call('ZREM', KEYS[3], member)
end

local function place(member, entry, now)
    if entry[THERE] == entry[ACTION] then
        settle(member, entry)
    else
        wait(member, entry, now, now)
    end
end

-- name: desire
-- Wish for memberships. ARGV: now, prefix, then (field, action, sequence, at, trace, there) each.
-- `there` counts for members the ledger does not know: what the destination holds; -1 says nothing about it.
-- Returns how many wait to be sent because of this.
local now, waiting = tonumber(ARGV[1]), 0
for i = 3, #ARGV, 6 do
    local field, action, sequence = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local there, entry = tonumber(ARGV[i + 5]), read(field)
    local forgettable = not entry and action == 0 and there == ABSENT
    if not forgettable and (not entry or sequence > entry[SEQUENCE]) then
        if not entry then
            entry = { 0, 0, 0, '', math.max(there, ABSENT) }
        end
        entry[ACTION], entry[SEQUENCE], entry[AT], entry[TRACE] = action, sequence, tonumber(ARGV[i + 3]), ARGV[i + 4]
        entry[ATTEMPTS], entry[TRIES], entry[FIRST], entry[SENT], entry[TURNS] = 0, 0, 0, NEVER, 0
        place(ARGV[2] .. field, entry, now)
        write(field, entry)
        if entry[STATUS] == PENDING then
            waiting = waiting + 1
        end
    end
end
return waiting

-- name: begin
-- About to send. ARGV: token, now, then (field, sequence, action, turns) each.
-- Returns 1 or 0 each: 0 is a member of whom something newer is wished. Returns nothing when the lease is not ours.
if redis.call('GET', KEYS[5]) ~= ARGV[1] then
    return false
end
local answers = {}
for i = 3, #ARGV, 4 do
    local field, entry = ARGV[i], read(ARGV[i])
    local current = entry and entry[SEQUENCE] == tonumber(ARGV[i + 1])
    if current then
        local turns = tonumber(ARGV[i + 3])
        if turns ~= entry[TURNS] then
            entry[TRIES], entry[FIRST] = 0, 0
        end
        entry[THERE], entry[SENT], entry[TURNS] = UNKNOWN, tonumber(ARGV[i + 2]), turns
        entry[ATTEMPTS], entry[TRIES] = entry[ATTEMPTS] + 1, entry[TRIES] + 1
        if entry[FIRST] == 0 then
            entry[FIRST] = tonumber(ARGV[2])
        end
        write(field, entry)
    end
    answers[#answers + 1] = current and 1 or 0
end
return answers

-- name: settle
-- What became of members. ARGV: token, now, prefix, then (field, sequence, verdict, there, at) each.
-- `verdict`: done, retry (at the moment `at`) or failed; `there` is what the destination holds now, -1 leaves it.
-- A member of whom something newer is wished keeps waiting for that. Does nothing when the lease is not ours.
if redis.call('GET', KEYS[5]) ~= ARGV[1] then
    return 0
end
local now = tonumber(ARGV[2])
for i = 4, #ARGV, 5 do
    local field, verdict, there, entry = ARGV[i], ARGV[i + 2], tonumber(ARGV[i + 3]), read(ARGV[i])
    if entry then
        local member = ARGV[3] .. field
        if there >= 0 then
            entry[THERE] = there
        end
        if entry[SEQUENCE] ~= tonumber(ARGV[i + 1]) then
            place(member, entry, now)
        elseif verdict == 'retry' then
            wait(member, entry, now, tonumber(ARGV[i + 4]))
        elseif verdict == 'failed' then
            leave(member)
            entry[STATUS] = FAILED
            redis.call('ZADD', KEYS[3], now, member)
        else
            settle(member, entry)
        end
        write(field, entry)
    end
end
return 1

-- name: revive
-- Send failed ones again. ARGV: now, prefix, then fields. Returns how many.
local now, revived = tonumber(ARGV[1]), 0
for i = 3, #ARGV do
    local entry = read(ARGV[i])
    if entry and entry[STATUS] == FAILED then
        entry[TRIES], entry[FIRST] = 0, 0
        wait(ARGV[2] .. ARGV[i], entry, now, now)
        write(ARGV[i], entry)
        revived = revived + 1
    else
        redis.call('ZREM', KEYS[3], ARGV[2] .. ARGV[i])
    end
end
return revived

-- name: review
-- Look at members again, though nothing changed in the segment. ARGV: now, prefix, then fields of settled members.
for i = 3, #ARGV do
    local entry = read(ARGV[i])
    if entry and entry[STATUS] == SETTLED then
        redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2] .. ARGV[i])
    end
end
return 1

-- name: forget
-- Forget members. ARGV: prefix, before, then fields. With `before` > 0 only those gone and settled since then.
local before, forgotten = tonumber(ARGV[2]), 0
for i = 3, #ARGV do
    local entry = read(ARGV[i])
    local gone = entry and entry[STATUS] == SETTLED and entry[ACTION] == 0 and entry[THERE] == ABSENT
    if before == 0 or (gone and entry[AT] < before) then
        leave(ARGV[1] .. ARGV[i])
        redis.call('HDEL', KEYS[4], ARGV[i])
        forgotten = forgotten + 1
    end
end
return forgotten

-- name: hand_on
-- Take the oldest records out of the outbox, unless the lease is not ours. KEYS: 1 outbox, 2 lease. ARGV: token, count.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
    return 0
end
redis.call('LTRIM', KEYS[1], tonumber(ARGV[2]), -1)
return 1

-- name: hold
-- Take the lease, or make it last longer. KEYS: 1 lease. ARGV: token, milliseconds.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1

-- name: release
-- Give the lease back. KEYS: 1 lease. ARGV: token.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 1

-- name: attend
-- Say that a dispatcher lives, and hear who else does. KEYS: 1 dispatchers. ARGV: name, milliseconds it counts for.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
