-- Stand-ins for what mod_foyer_visitors touches: Prosody's module API, events, timers and HTTP client, and Jitsi's
-- libraries. Written from their documented behaviour; nothing of theirs is in here.

local World = {}
World.__index = World

-- Handlers from the highest priority to the lowest; the first answer that is not nil ends the event.
local function event_bus()
    local handlers = {}
    local bus = {}
    function bus.add(name, handler, priority)
        handlers[name] = handlers[name] or {}
        table.insert(handlers[name], { handler = handler, priority = priority or 0 })
        table.sort(handlers[name], function(a, b) return a.priority > b.priority end)
    end
    function bus.fire(name, event)
        for _, entry in ipairs(handlers[name] or {}) do
            local answer = entry.handler(event)
            if answer ~= nil then
                return answer
            end
        end
    end
    return bus
end

local Room = {}
Room.__index = Room

function Room:has_occupant()
    return self.occupants > 0
end

function World.new(options)
    local defaults = {
        muc_mapper_domain_base = "meet.example.org",
        visitors_queue_service = "https://queue.example.org/waiting-queue",
    }
    for name, value in pairs(options or {}) do
        defaults[name] = value
    end
    local world = setmetatable({
        options = defaults, -- an option set to false is not there
        hosts = {}, waiting = {}, timers = {}, clock = 0, sequence = 0,
        lines = {}, requests = {}, rooms = {}, order = {},
        bearer = "Bearer secret-server-token",
        answers = {}, -- what the queue says to the requests, in turn; the last one stands
    }, World)
    world:activate("conference.meet.example.org")
    world:activate("meet.example.org")
    return world
end

function World:activate(name)
    local bus = event_bus()
    local host = { name = name, bus = bus }
    function host.hook(_, event, handler, priority) bus.add(event, handler, priority) end
    function host.fire_event(_, event, data) return bus.fire(event, data) end
    self.hosts[name] = host
    for _, callback in ipairs(self.waiting[name] or {}) do
        callback(host)
    end
    return host
end

function World:deactivate(name)
    self.hosts[name] = nil
end

local function render(format, ...)
    local values = table.pack(...)
    for i = 1, values.n do
        if type(values[i]) ~= "number" and type(values[i]) ~= "string" then
            values[i] = tostring(values[i])
        end
    end
    return string.format(format, table.unpack(values, 1, values.n))
end

function World:module_api()
    local world = self
    local api = {}
    local function option(_, name, default)
        local value = world.options[name]
        if value == nil or value == false then
            return default
        end
        return value
    end
    api.get_option_string, api.get_option_number, api.get_option_array = option, option, option
    function api.log(_, level, format, ...)
        table.insert(world.lines, level .. " " .. render(format, ...))
    end
    function api.add_timer(_, delay, callback, ...)
        world.sequence = world.sequence + 1
        table.insert(world.timers, {
            at = world.clock + delay, order = world.sequence, callback = callback, arguments = table.pack(...),
        })
    end
    function api.require(_, name)
        if name == "util" then
            return world:jitsi_util()
        elseif name == "token/util" then
            return world:token_library()
        end
        error("no library " .. name)
    end
    return api
end

function World:jitsi_util()
    local world = self
    return {
        is_healthcheck_room = function(jid) return jid:sub(1, 21) == "__jicofo-health-check" end,
        get_room_from_jid = function(jid) return world.rooms[jid] end,
        internal_room_jid_match_rewrite = function(jid)
            local tenant, name, host = jid:match("^%[([^%]]+)%]([^@]+)@(.+)$")
            if not tenant then
                return jid
            end
            local prefix, rest = host:match("^([^.]+)%.(.+)$")
            return name .. "@" .. prefix .. "." .. tenant .. "." .. rest
        end,
        process_host_module = function(name, callback)
            if world.hosts[name] then
                callback(world.hosts[name])
            else
                world.waiting[name] = world.waiting[name] or {}
                table.insert(world.waiting[name], callback)
            end
        end,
    }
end

function World:token_library()
    local world = self
    if world.token_library_fault then
        error(world.token_library_fault)
    end
    return {
        new = function(host)
            assert(host.name == "meet.example.org", "the token library is made for the main virtual host")
            if world.token_util_missing then
                return nil
            end
            return { generateAsapToken = function() return world.bearer end }
        end,
    }
end

function World:http_client()
    local world = self
    return {
        request = function(url, options, callback)
            local request = { url = url, options = options, callback = callback, at = world.clock }
            table.insert(world.requests, request)
            local answer = world.answers[#world.requests] or world.answers[#world.answers] or { 200, "" }
            if answer.throws then
                error(answer.throws)
            end
            if not answer.silent then
                callback(answer[2], answer[1])
            end
            return request
        end,
        destroy_request = function(request) request.destroyed = true end,
    }
end

function World:load(path)
    local libraries = {
        ["net.http"] = self:http_client(),
        ["util.json"] = {
            encode = function(value)
                return string.format('{"conference":"%s"}', value.conference)
            end,
        },
        ["util.jid"] = {
            split = function(jid) return jid:match("^([^@]+)@([^/]+)") end,
        },
    }
    local environment = setmetatable({
        module = self:module_api(),
        require = function(name) return assert(libraries[name], "no library " .. name) end,
    }, { __index = _G })
    assert(loadfile(path, "t", environment))()
    return self
end

-- The stock modules as far as they meet ours: the metadata component, and the visitors component's golive.
function World:with_stock_modules()
    local world = self
    local muc = self.hosts["conference.meet.example.org"]
    local function go_live(room, where)
        table.insert(world.order, where)
        local visitors = room.jitsiMetadata and room.jitsiMetadata.visitors
        if not room._jitsi_go_live_sent and not (visitors and visitors.live == false) and room.people > 0 then
            room._jitsi_go_live_sent = true
        end
    end
    muc:hook("muc-room-created", function(event)
        table.insert(world.order, "metadata")
        event.room.jitsiMetadata = event.room.jitsiMetadata or {}
    end, -1)
    muc:hook("muc-room-created", function(event) go_live(event.room, "visitors") end, -2)
    muc:hook("muc-occupant-joined", function(event) go_live(event.room, "joined") end)
    muc:hook("room-metadata-changed", function(event)
        table.insert(world.order, "published")
        go_live(event.room, "changed")
    end)
    muc:hook("muc-room-destroyed", function(event) world.rooms[event.room.jid] = nil end)
    return self
end

-- As a MUC makes a room for the one who joins it first: the occupant is in before the room counts as created.
function World:create_room(node, people)
    local muc = self.hosts["conference.meet.example.org"]
    local room = setmetatable({
        jid = node .. "@conference.meet.example.org", occupants = 0, people = 0,
    }, Room)
    if muc:fire_event("muc-room-pre-create", { room = room }) then
        return nil
    end
    self.rooms[room.jid] = room
    room.occupants, room.people = 1, people or 0
    muc:fire_event("muc-occupant-joined", { room = room })
    muc:fire_event("muc-room-created", { room = room })
    return room
end

function World:destroy_room(room)
    room.occupants = 0
    self.hosts["conference.meet.example.org"]:fire_event("muc-room-destroyed", { room = room })
end

-- Lets time pass, firing timers in order.
function World:pass(seconds)
    local limit = self.clock + seconds
    while true do
        table.sort(self.timers, function(a, b)
            return a.at < b.at or (a.at == b.at and a.order < b.order)
        end)
        local timer = self.timers[1]
        if not timer or timer.at > limit then
            break
        end
        table.remove(self.timers, 1)
        self.clock = math.max(self.clock, timer.at)
        timer.callback(self.clock, table.unpack(timer.arguments, 1, timer.arguments.n))
    end
    self.clock = limit
end

function World:log_text()
    return table.concat(self.lines, "\n")
end

function World:request_times()
    local times = {}
    for _, request in ipairs(self.requests) do
        table.insert(times, string.format("%g", request.at))
    end
    return table.concat(times, " ")
end

return World
