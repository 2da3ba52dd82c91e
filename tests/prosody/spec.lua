-- Usage: lua spec.lua <path of mod_foyer_visitors.lua> <directory of this file> <case>
local path, here, wanted = arg[1], arg[2], arg[3]
package.path = here .. "/?.lua;" .. package.path
local World = require "world"

local cases = {}
local function case(name, body)
    cases[name] = body
end

local function start(options)
    return World.new(options):with_stock_modules():load(path)
end

local function equal(expected, actual)
    if expected ~= actual then
        error(string.format("expected %s, got %s", tostring(expected), tostring(actual)), 2)
    end
end

local function contains(text, part)
    if not text:find(part, 1, true) then
        error(string.format("%q is not in:\n%s", part, text), 2)
    end
end

local function lived(world, node)
    local room = world:create_room(node or "room1")
    room._jitsi_go_live_sent = true
    return room
end

-- Metadata ---------------------------------------------------------------------------------------

case("a new conference is not live", function()
    local room = start():create_room("room1")
    equal(false, room.jitsiMetadata.visitors.live)
end)

case("golive is not sent for an ordinary occupant who makes the room", function()
    local room = start():create_room("room1", 1)
    equal(nil, room._jitsi_go_live_sent)
end)

case("without the module golive goes out at once", function()
    local room = World.new():with_stock_modules():create_room("room1", 1)
    equal(true, room._jitsi_go_live_sent)
end)

case("a room made without a joining occupant gets the value between the stock handlers", function()
    local world = start()
    local room = { jid = "room1@conference.meet.example.org", people = 1, has_occupant = function() return false end }
    world.hosts["conference.meet.example.org"]:hook("muc-room-created", function(event)
        table.insert(world.order, "live=" .. tostring((event.room.jitsiMetadata.visitors or {}).live))
    end, -1.2)
    world.hosts["conference.meet.example.org"]:fire_event("muc-room-created", { room = room })
    equal("metadata live=nil visitors", table.concat(world.order, " "))
    equal(false, room.jitsiMetadata.visitors.live)
end)

case("whoever is in already gets the metadata published", function()
    local world = start()
    world:create_room("room1")
    equal("joined metadata published changed visitors", table.concat(world.order, " "))
end)

case("a value that another module sets before us stands", function()
    local world = start()
    world.hosts["conference.meet.example.org"]:hook("muc-room-pre-create", function(event)
        event.room.jitsiMetadata = { visitors = { live = true } }
    end, 5)
    equal(true, world:create_room("room1").jitsiMetadata.visitors.live)
end)

case("a value that another module sets after us stands and is not published by us", function()
    local world = start()
    world.hosts["conference.meet.example.org"]:hook("muc-room-created", function(event)
        event.room.jitsiMetadata = { visitors = { live = true }, other = 1 }
    end)
    local room = world:create_room("room1")
    equal(true, room.jitsiMetadata.visitors.live)
    equal("joined metadata visitors", table.concat(world.order, " "))
end)

case("other metadata is kept", function()
    local world = start()
    world.hosts["conference.meet.example.org"]:hook("muc-room-created", function(event)
        event.room.jitsiMetadata = { visitors = { autoPromote = true }, other = 1 }
    end)
    local room = world:create_room("room1")
    equal(1, room.jitsiMetadata.other)
    equal(true, room.jitsiMetadata.visitors.autoPromote)
    equal(false, room.jitsiMetadata.visitors.live)
end)

case("rooms of health checks are left alone", function()
    local world = start({ foyer_visitors_clear = "always" })
    local room = world:create_room("__jicofo-health-check-1")
    equal(nil, room.jitsiMetadata.visitors)
    world:destroy_room(room)
    world:pass(300)
    equal(0, #world.requests)
end)

case("the limit to tenants and rooms is honoured", function()
    local world = start({
        foyer_visitors_tenants = { "Acme" },
        foyer_visitors_rooms = { "Townhall", "beta/board" },
    })
    for node, expected in pairs({
        ["[acme]any"] = false, ["townhall"] = false, ["[beta]board"] = false,
        ["other"] = "unset", ["[beta]other"] = "unset", ["[gamma]townhall"] = "unset", ["acme"] = "unset",
        ["board"] = "unset",
    }) do
        local visitors = world:create_room(node).jitsiMetadata.visitors
        local live = visitors and visitors.live
        if live == nil then
            live = "unset"
        end
        if live ~= expected then
            error(node .. ": " .. tostring(live))
        end
    end
end)

case("it waits for the MUC when loaded on a host that starts earlier", function()
    local world = World.new()
    world:deactivate("conference.meet.example.org")
    world:load(path)
    world:activate("conference.meet.example.org")
    equal(false, world:create_room("room1").jitsiMetadata.visitors.live)
end)

case("the MUC domain of the mapper is used", function()
    local world = World.new({ muc_mapper_domain_prefix = "muc" })
    local muc = world:activate("muc.meet.example.org")
    world:load(path)
    local room = { jid = "room1@muc.meet.example.org", has_occupant = function() return false end }
    muc:fire_event("muc-room-created", { room = room })
    equal(false, room.jitsiMetadata.visitors.live)
end)

case("without a base domain it says so and does nothing", function()
    local world = World.new({ muc_mapper_domain_base = false }):load(path)
    contains(world:log_text(), "error muc_mapper_domain_base is not set")
    equal(nil, world:create_room("room1").jitsiMetadata)
end)

-- The end of a conference ------------------------------------------------------------------------

case("the end of a live conference is reported once", function()
    local world = start()
    world:destroy_room(lived(world))
    world:pass(300)
    equal(1, #world.requests)
    local request = world.requests[1]
    equal("https://queue.example.org/waiting-queue/golive", request.url)
    equal("DELETE", request.options.method)
    equal("Bearer secret-server-token", request.options.headers["Authorization"])
    equal("application/json", request.options.headers["Content-Type"])
    equal('{"conference":"room1@conference.meet.example.org"}', request.options.body)
end)

case("the conference is named in its public form", function()
    local world = start()
    world:destroy_room(lived(world, "[acme]room1"))
    world:pass(1)
    equal('{"conference":"room1@conference.acme.meet.example.org"}', world.requests[1].options.body)
end)

case("a conference that never went live is not reported", function()
    local world = start()
    world:destroy_room(world:create_room("room1"))
    world:pass(300)
    equal(0, #world.requests)
end)

case("a conference whose metadata says live is reported", function()
    local world = start()
    local room = world:create_room("room1")
    room.jitsiMetadata.visitors.live = true
    world:destroy_room(room)
    world:pass(1)
    equal(1, #world.requests)
end)

case("clear=always reports every end and clear=never none", function()
    local world = start({ foyer_visitors_clear = "always" })
    world:destroy_room(world:create_room("room1"))
    world:pass(1)
    equal(1, #world.requests)
    world = start({ foyer_visitors_clear = "never" })
    world:destroy_room(lived(world))
    world:pass(300)
    equal(0, #world.requests)
end)

case("an unknown clear is complained about and taken as live", function()
    local world = start({ foyer_visitors_clear = "sometimes" })
    contains(world:log_text(), "error foyer_visitors_clear")
    world:destroy_room(world:create_room("room1"))
    world:destroy_room(lived(world, "room2"))
    world:pass(1)
    equal(1, #world.requests)
end)

case("nothing is sent while the room is being destroyed", function()
    local world = start()
    local room = lived(world)
    world:destroy_room(room)
    equal(0, #world.requests)
    equal(nil, world.rooms[room.jid])
    world:pass(0)
    equal(1, #world.requests)
end)

case("a fault of ours does not keep the room from being destroyed", function()
    local world = start()
    local room = lived(world)
    room.jid = setmetatable({}, { __index = function() error("broken") end })
    local reached = false
    world.hosts["conference.meet.example.org"]:hook("muc-room-destroyed", function() reached = true end, -50)
    world.hosts["conference.meet.example.org"]:fire_event("muc-room-destroyed", { room = room })
    equal(true, reached)
    contains(world:log_text(), "broken")
end)

case("outages are retried after 1, 4 and 16 seconds, then given up", function()
    local world = start()
    world.answers = { { 503, "" }, { 0, "connection refused" }, { 429, "" }, { 500, "" } }
    world:destroy_room(lived(world))
    world:pass(300)
    equal("0 1 5 21", world:request_times())
    contains(world:log_text(), "warn The queue was not told that room1@conference.meet.example.org has ended: status 500, 4")
end)

case("every outage is worth a retry", function()
    for _, status in ipairs({ 0, 408, 429, 500, 502, 503, 504 }) do
        local world = start()
        world.answers = { { status, "" }, { 200, "" } }
        world:destroy_room(lived(world))
        world:pass(300)
        equal(2, #world.requests)
    end
end)

case("a retry that succeeds ends the report", function()
    local world = start()
    world.answers = { { 0, "connection refused" }, { 200, "" } }
    world:destroy_room(lived(world))
    world:pass(300)
    equal(2, #world.requests)
    equal(nil, world:log_text():find("warn", 1, true))
end)

case("a queue that does not answer is dropped after the timeout and tried again", function()
    local world = start({ foyer_visitors_timeout = 3 })
    world.answers = { { silent = true }, { 200, "" } }
    world:destroy_room(lived(world))
    world:pass(300)
    equal("0 4", world:request_times())
    equal(true, world.requests[1].destroyed)
    world.requests[1].callback("", 503)
    world:pass(300)
    equal(2, #world.requests)
end)

case("a client that throws is an outage", function()
    local world = start({ foyer_visitors_attempts = 2 })
    world.answers = { { throws = "no TLS" } }
    world:destroy_room(lived(world))
    world:pass(300)
    equal(2, #world.requests)
    contains(world:log_text(), "request not made, 2 attempts")
end)

case("a refusal is not retried", function()
    for _, status in ipairs({ 400, 401, 403, 405, 413, 415 }) do
        local world = start()
        world.answers = { { status, "no" } }
        world:destroy_room(lived(world))
        world:pass(300)
        equal(1, #world.requests)
        contains(world:log_text(), "warn The queue refused to end room1@conference.meet.example.org: status " .. status)
    end
end)

case("a record that is not there is no failure", function()
    local world = start()
    world.answers = { { 404, "" } }
    world:destroy_room(lived(world))
    world:pass(300)
    equal(1, #world.requests)
    equal(nil, world:log_text():find("warn", 1, true))
end)

case("the retries stop when a conference of that name is live again", function()
    local world = start()
    world.answers = { { 503, "" } }
    world:destroy_room(lived(world))
    world:pass(2)
    lived(world)
    world:pass(300)
    equal(2, #world.requests)
end)

case("the retries go on while a new conference of that name is not live yet", function()
    local world = start()
    world.answers = { { 503, "" }, { 200, "" } }
    world:destroy_room(lived(world))
    world:create_room("room1")
    world:pass(300)
    equal(2, #world.requests)
end)

case("a second end replaces the report of the first", function()
    local world = start()
    world.answers = { { 503, "" }, { 200, "" } }
    world:destroy_room(lived(world))
    world:pass(0.5)
    world:destroy_room(lived(world))
    world:pass(300)
    equal("0 0.5", world:request_times())
end)

case("without a token nothing is sent and the reason is named", function()
    local variants = {
        function(world) world.bearer = "" end,
        function(world) world.token_util_missing = true end,
        function(world) world.token_library_fault = "basexx is not installed" end,
    }
    for _, prepare in ipairs(variants) do
        local world = World.new():with_stock_modules()
        prepare(world)
        world:load(path)
        world:destroy_room(lived(world))
        world:pass(300)
        equal(0, #world.requests)
        contains(world:log_text(), "warn No ASAP token can be made")
    end
end)

case("no token gets into the log", function()
    local world = start()
    world.answers = { { 503, "" }, { 0, "refused" }, { throws = "x" }, { 401, "Bearer secret-server-token" } }
    world:destroy_room(lived(world))
    world:pass(300)
    equal(4, #world.requests)
    equal(nil, world:log_text():find("secret", 1, true))
end)

case("without the address of the queue only the metadata is set", function()
    for _, address in ipairs({ false, "queue.example.org/waiting-queue", "wss://queue.example.org" }) do
        local world = start({ visitors_queue_service = address })
        contains(world:log_text(), "warn visitors_queue_service is not an http(s) address")
        local room = lived(world)
        equal(false, room.jitsiMetadata.visitors.live)
        world:destroy_room(room)
        world:pass(300)
        equal(0, #world.requests)
    end
end)

case("a trailing slash of the address does no harm", function()
    local world = start({ visitors_queue_service = "https://queue.example.org/waiting-queue/" })
    world:destroy_room(lived(world))
    world:pass(1)
    equal("https://queue.example.org/waiting-queue/golive", world.requests[1].url)
end)

assert(cases[wanted], "no such case")()
