-- mod_foyer_visitors: a new conference starts as not live, and the waiting queue is told when a live one has ended.
--
-- jicofo reads a missing `visitors.live` as "not live", the stock visitors component reads it as "live". This module
-- writes the value before either looks. When a conference that went live is destroyed it calls
-- `DELETE {visitors_queue_service}/golive`, so that the next conference of that name starts with a queue again.
--
-- Load it on the main MUC component (or the main virtual host) of the main Prosody, never on a visitor node.
-- Options and the reason for each: docs/jitsi.md of the Foyer project.

local http = require "net.http"
local json = require "util.json"
local split_jid = require "util.jid".split

local util = module:require "util"

-- Handlers run from the highest priority to the lowest. At "muc-room-created" other modules fill in the metadata at 0
-- and above, the metadata component makes the table at -1, and the visitors component looks at -2.
local BEFORE_ANYBODY_JOINS = -1
local BETWEEN_METADATA_AND_VISITORS = -1.5

local FIRST_DELAY, DELAY_FACTOR = 1, 4 -- seconds before the second attempt: 1, then 4, 16, 64

local base_domain = module:get_option_string("muc_mapper_domain_base")
if not base_domain then
    module:log("error", "muc_mapper_domain_base is not set: this module does nothing")
    return
end
local muc_prefix = module:get_option_string("muc_mapper_domain_prefix", "conference")
local muc_host = module:get_option_string("muc_mapper_domain", muc_prefix .. "." .. base_domain)

local queue_service = module:get_option_string("visitors_queue_service", ""):gsub("/+$", "")
local clear_when = module:get_option_string("foyer_visitors_clear", "live")
local timeout = module:get_option_number("foyer_visitors_timeout", 5)
local attempts = module:get_option_number("foyer_visitors_attempts", 4)

if clear_when ~= "live" and clear_when ~= "always" and clear_when ~= "never" then
    module:log("error", "foyer_visitors_clear is %q, not live, always or never: taking live", clear_when)
    clear_when = "live"
end
if clear_when ~= "never" and not queue_service:match("^https?://[^/]") then
    module:log("warn", "visitors_queue_service is not an http(s) address: ended conferences are not reported")
    clear_when = "never"
end

local function lookup(option)
    local found = {}
    for _, name in ipairs(module:get_option_array(option, {})) do
        found[name:lower()] = true
    end
    return found
end

local tenants = lookup("foyer_visitors_tenants") -- "tenant": all of its rooms
local rooms = lookup("foyer_visitors_rooms") -- "room" without a tenant, or "tenant/room"
local everywhere = next(tenants) == nil and next(rooms) == nil

local token_util -- set once the main virtual host is there
local jobs = {} -- room JID -> the report of its end that is under way

-- Whether conferences of this name start as not live.
local function in_scope(room_jid)
    if everywhere then
        return true
    end
    local node = split_jid(room_jid) or ""
    local tenant, name = node:match("^%[([^%]]+)%](.+)$")
    if tenant then
        return tenants[tenant] or rooms[tenant .. "/" .. name] or false
    end
    return rooms[node] or false
end

local function visitors_of(room)
    local visitors = room.jitsiMetadata and room.jitsiMetadata.visitors
    return type(visitors) == "table" and visitors or nil
end

-- Writes `visitors.live = false` unless somebody said something about it.
local function mark_not_live(room)
    room.jitsiMetadata = room.jitsiMetadata or {}
    if room.jitsiMetadata.visitors == nil then
        room.jitsiMetadata.visitors = {}
    end
    local visitors = visitors_of(room)
    if visitors and visitors.live == nil then
        visitors.live = false
        room._foyer_not_live = true
    end
end

-- Whether the queue was told that this conference is live; the flag is the stock visitors component's.
local function went_live(room)
    local visitors = visitors_of(room)
    return room._jitsi_go_live_sent or (visitors and visitors.live == true) or false
end

local function finish(job)
    if jobs[job.room_jid] == job then
        jobs[job.room_jid] = nil
    end
end

-- The handlers of a MUC run in a row: an error of ours must not keep the ones behind it from running.
local function guarded(handler)
    return function(...)
        local ok, fault = pcall(handler, ...)
        if not ok then
            module:log("error", "%s", fault)
        end
    end
end

local attempt -- (now, job)

local function conclude(job, code, reason)
    if code >= 200 and code < 300 or code == 404 then
        module:log("debug", "The queue was told that %s has ended", job.conference)
        finish(job)
    elseif code ~= 0 and code < 500 and code ~= 408 and code ~= 429 then
        module:log("warn", "The queue refused to end %s: status %d", job.conference, code)
        finish(job)
    elseif job.attempt >= attempts then
        module:log("warn", "The queue was not told that %s has ended: %s, %d attempts", job.conference,
            reason or ("status " .. code), job.attempt)
        finish(job)
    else
        module:add_timer(FIRST_DELAY * DELAY_FACTOR ^ (job.attempt - 1), guarded(attempt), job)
    end
end

local function authorization()
    local ok, value = pcall(function()
        return token_util:generateAsapToken()
    end)
    return ok and type(value) == "string" and value ~= "" and value or nil
end

function attempt(_, job)
    if jobs[job.room_jid] ~= job then
        return -- ended once more meanwhile: that report is the one to make
    end
    local successor = util.get_room_from_jid(job.room_jid)
    if successor and went_live(successor) then
        module:log("debug", "%s is live again: its end is not reported any more", job.conference)
        return finish(job)
    end
    local bearer = authorization()
    if not bearer then
        module:log("warn", "No ASAP token can be made (asap_key_path, app_id): the end of %s is not reported",
            job.conference)
        return finish(job)
    end

    job.attempt = job.attempt + 1
    local settled, request = false, nil
    local function settle(code, reason)
        if not settled then
            settled = true
            conclude(job, code, reason)
        end
    end
    module:add_timer(timeout, guarded(function()
        if not settled then
            settle(0, "no answer in time")
            if request and http.destroy_request then
                http.destroy_request(request)
            end
        end
    end))
    local ok, result = pcall(http.request, queue_service .. "/golive", {
        method = "DELETE",
        headers = {
            ["Authorization"] = bearer,
            ["Content-Type"] = "application/json",
            ["Accept"] = "application/json",
        },
        body = json.encode({ conference = job.conference }),
    }, guarded(function(body, code)
        code = tonumber(code) or 0
        settle(code, code == 0 and tostring(body) or nil)
    end))
    if ok then
        request = result
    else
        settle(0, "request not made")
    end
end

local function room_starts(event)
    local room = event.room
    if not util.is_healthcheck_room(room.jid) and in_scope(room.jid) then
        mark_not_live(room)
    end
end

-- Whoever joined before this event (jicofo makes the room by joining it) was sent no metadata yet: publish it.
local function room_started(event, host)
    room_starts(event)
    local room = event.room
    local visitors = visitors_of(room)
    if room._foyer_not_live and visitors and visitors.live == false and room:has_occupant() then
        host:fire_event("room-metadata-changed", { room = room })
    end
end

-- The first attempt too is made by a timer: nothing of it happens while the room is being destroyed.
local function room_ended(event)
    local room = event.room
    if util.is_healthcheck_room(room.jid) or (clear_when == "live" and not went_live(room)) then
        return
    end
    local job = {
        room_jid = room.jid,
        conference = util.internal_room_jid_match_rewrite(room.jid),
        attempt = 0,
    }
    jobs[room.jid] = job
    module:add_timer(0, guarded(attempt), job)
end

util.process_host_module(muc_host, function(host)
    host:hook("muc-room-pre-create", guarded(room_starts), BEFORE_ANYBODY_JOINS)
    host:hook("muc-room-created", guarded(function(event)
        room_started(event, host)
    end), BETWEEN_METADATA_AND_VISITORS)
    if clear_when ~= "never" then
        host:hook("muc-room-destroyed", guarded(room_ended))
    end
    module:log("info", "Conferences on %s start as not live; their end is reported: %s", muc_host, clear_when)
end)

if clear_when ~= "never" then
    util.process_host_module(base_domain, function(host)
        local ok, fault = pcall(function()
            token_util = module:require("token/util").new(host)
        end)
        if not ok then
            module:log("error", "The token library cannot be loaded, ended conferences are not reported: %s", fault)
        end
    end)
end
