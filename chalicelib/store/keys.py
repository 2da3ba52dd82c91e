"""The only place that builds `pk` and `sk`; long names stand in keys as a 16-byte hash."""

from typing import Final, NamedTuple

from chalicelib import ids

DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
ONLY: Final = "-"
DUE_BUCKETS: Final = 4


class Key(NamedTuple):
    """Where a row stands."""

    pk: str
    sk: str


def base36(number: int) -> str:
    """A number of 0 or more in as few characters as keys deserve."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
        if not number:
            return text


def due(kind: str, pk: str) -> str:
    """The partition of the index `due` in which a row that owes `kind` stands."""
    return f"{kind}#{ids.bucket(pk, DUE_BUCKETS)}"


def due_partitions(kind: str) -> list[str]:
    """Every partition of the index `due` for `kind`."""
    return [f"{kind}#{bucket}" for bucket in range(DUE_BUCKETS)]


def socket(socket_id: str) -> Key:
    """The session of one socket."""
    return Key(f"s{socket_id}", ONLY)


FRONTS: Final = "fronts"


def front(front_id: str) -> Key:
    """A front in the registry."""
    return Key(FRONTS, front_id)


def replay(scope: str, nonce: str) -> Key:
    """Something that may be seen once."""
    return Key(f"n{ids.short_hash(f'{scope} {nonce}')}", ONLY)


DEAD: Final = "dead"


def dead(at: float, name: str) -> Key:
    """A dead letter, in the order of their time."""
    return Key(DEAD, f"{at:014.3f}.{name}")


ROLLUPS: Final = "ar"
ROLLUP_PARTS: Final = "ap"
LAST_EVENTS: Final = "ae"
LATEST: Final = "~"
"""After every minute."""


def minute(number: int) -> str:
    """A minute since the epoch, in the order of time."""
    return f"{number:010d}"


def rollup(number: int) -> Key:
    """What all processes counted in one minute."""
    return Key(ROLLUPS, minute(number))


def measured() -> Key:
    """What was measured last; it stands after all minutes."""
    return Key(ROLLUPS, LATEST)


def rollup_part(number: int, process: str) -> Key:
    """What one process counted in one minute."""
    return Key(ROLLUP_PARTS, f"{minute(number)}.{process}")


def last_events(number: int, process: str) -> Key:
    """The last events of one process in one minute."""
    return Key(LAST_EVENTS, f"{minute(number)}.{process}")


def conference(name: str) -> str:
    """What stands for a conference in the keys below."""
    return ids.short_hash(name)


def live(conference: str) -> Key:
    """The live record of a conference: its epoch, until when it is live, and the release it owes."""
    return Key(f"c{conference}", "live")


def look(conference: str, epoch: int) -> Key:
    """That visitors of a live epoch are looked for who were left behind."""
    return Key(f"c{conference}", f"look{base36(epoch)}")


def watch(conference: str) -> Key:
    """That somebody watches a conference's count, and when it is counted next."""
    return Key(f"c{conference}", "watch")


def queue(conference: str, epoch: int, shard: int) -> str:
    """The partition of one shard of a conference's waiting visitors."""
    return f"q{conference}{base36(epoch)}.{base36(shard)}"


def page(conference: str, epoch: int, shard: int) -> Key:
    """What is left to do of a release in one shard."""
    return Key(f"p{conference}{base36(epoch)}", base36(shard))


def moderators(conference: str) -> str:
    """The partition of a conference's watching moderators."""
    return f"m{conference}"


def damping(conference: str, who: str) -> str:
    """The partition of the releases of one token or source in a conference, in the order of their time."""
    return f"d{ids.short_hash(f'{conference} {who}')}"


def damping_time(at: float) -> str:
    """Where the releases from `at` on begin in that partition."""
    return f"{int(at * 1000):013d}"


def grace(conference: str, token_hash: str) -> Key:
    """That a token was accepted for a conference while it was valid."""
    return Key(f"g{ids.short_hash(f'{conference} {token_hash}')}", ONLY)


def denial(token_hash: str) -> Key:
    """Which classes of destinations a token was denied, and until when."""
    return Key(f"x{token_hash}", ONLY)


def connects(who: str, minute: int) -> Key:
    """The sockets that one token or source opened in one minute."""
    return Key(f"k{ids.short_hash(who)}", base36(minute))


OWT_SERVICES: Final = "oall"


def owt_service(service_id: str) -> Key:
    """A service of the conference management API."""
    return Key(f"o{service_id}", ONLY)


def owt_service_listed(service_id: str) -> Key:
    """That a service is there, in the order of creation."""
    return Key(OWT_SERVICES, service_id)


def owt_service_name(name: str) -> Key:
    """That a service's name is taken."""
    return Key(f"on{ids.short_hash(name)}", ONLY)


def owt_service_purge(service_id: str) -> Key:
    """That a deleted service's rooms still have to go."""
    return Key(f"oz{service_id}", ONLY)


def owt_token(token_id: str) -> Key:
    """A token with which somebody may join a room, once."""
    return Key(f"ot{token_id}", ONLY)


def owt_rooms(service_id: str) -> str:
    """The partition of the index rows of a service's rooms, in the order of creation."""
    return f"or{service_id}"


def owt_room_listed(service_id: str, room_id: str) -> Key:
    """That a service has a room."""
    return Key(owt_rooms(service_id), room_id)


def owt_room_partition(room_id: str) -> str:
    """The partition of a room and of all that is in it."""
    return f"oR{room_id}"


def owt_participant(room_id: str, participant_id: str) -> Key:
    """A participant."""
    return Key(owt_room_partition(room_id), f"p#{participant_id}")


def owt_view(room_id: str, vid: str) -> Key:
    """What callers have set in one incarnation of a view."""
    return Key(owt_room_partition(room_id), f"v#{vid}")


def owt_stream(room_id: str, stream_id: str) -> Key:
    """A forward stream."""
    return Key(owt_room_partition(room_id), f"w#{stream_id}")


def owt_room(room_id: str) -> Key:
    """A room's document, its limits and its counts."""
    return Key(owt_room_partition(room_id), "x")


def owt_ended(room_id: str, what: str, name: str) -> Key:
    """That a stream (`s`), view (`v`), participant (`p`) or media node (`n`) ended; the rest has to go."""
    return Key(owt_room_partition(room_id), f"xe#{what}#{name}")


def owt_room_purge(room_id: str) -> Key:
    """That a deleted room's children still have to go."""
    return Key(owt_room_partition(room_id), "xz")


def owt_subscription(room_id: str, kind: str, name: str) -> Key:
    """A streaming-out (`o`), recording (`r`), call (`c`) or analytic (`a`)."""
    return Key(owt_room_partition(room_id), f"y#{kind}#{name}")


def owt_commands(service_id: str) -> str:
    """The partition of a service's commands that nobody has acknowledged, in the order of time."""
    return f"oK{service_id}"


def owt_command(service_id: str, command_id: str) -> Key:
    """A command that nobody has acknowledged."""
    return Key(owt_commands(service_id), command_id)


def owt_acked(service_id: str, command_id: str) -> Key:
    """What became of a command."""
    return Key(f"oA{service_id}", command_id)


def owt_errand(command_id: str) -> Key:
    """A command that somebody besides the workers still has to carry out."""
    return Key(f"oE{command_id}", ONLY)


def owt_pushes(room_id: str) -> str:
    """The partition of what somebody is to be told of a room's commands, in the order of time."""
    return f"oQ{room_id}"


def owt_push(room_id: str, command_id: str) -> Key:
    """A command that somebody is to be told of."""
    return Key(owt_pushes(room_id), command_id)


def owt_pusher(room_id: str) -> Key:
    """That something of a room's commands is to be told; it stands before all of that."""
    return Key(owt_pushes(room_id), ONLY)


def owt_webhook(url: str) -> Key:
    """That an address where commands were sent is not used any more."""
    return Key(f"oH{ids.short_hash(url)}", ONLY)


def owt_report(room_id: str, report_id: str) -> Key:
    """That a report was taken in."""
    return Key(f"oI{room_id}", ids.short_hash(report_id))


def loop_credential(uid: str) -> Key:
    """A Hawk credential of the rooms API."""
    return Key(f"lc{uid}", ONLY)


def loop_rooms(uid: str) -> str:
    """The partition of the index rows of an owner's rooms."""
    return f"lo{uid}"


def loop_room_listed(uid: str, room_token: str) -> Key:
    """That an owner has, or had a moment ago, a room."""
    return Key(loop_rooms(uid), room_token)


def loop_room(room_token: str) -> Key:
    """A room with everybody in it."""
    return Key(f"lR{room_token}", ONLY)


def loop_context(room_token: str) -> Key:
    """What a room is about, as its owner encrypted it."""
    return Key(f"lR{room_token}", "c")


def sora_channel(channel_id: str) -> str:
    """The partition of a channel: its connections, those that ended a while ago, and its session."""
    return f"SC{ids.short_hash(channel_id)}"


SORA_CONNECTIONS: Final = "c"


def sora_connection(channel_id: str, connection_id: str) -> Key:
    """A connection of a channel, or that it was there."""
    return Key(sora_channel(channel_id), SORA_CONNECTIONS + ids.short_hash(connection_id))


def sora_session(channel_id: str) -> Key:
    """A channel's session: it begins with the first connection."""
    return Key(sora_channel(channel_id), "s")


def sora_pushes(channel_id: str) -> str:
    """The partition of what a channel's listeners still have to be sent, in the order of the writes."""
    return f"SP{ids.short_hash(channel_id)}"


def sora_push(channel_id: str, order: str) -> Key:
    """One push that is owed to a channel's listeners."""
    return Key(sora_pushes(channel_id), order)


def sora_lease(channel_id: str) -> Key:
    """Who sends a channel's listeners what they are owed; it stands before all of that."""
    return Key(sora_pushes(channel_id), ONLY)


SORA_FIRST_PUSH: Final = "0"


def sora_upstreams(channel_id: str) -> str:
    """The partition of what a media server still has to be told of a channel, in the order of the writes."""
    return f"SU{ids.short_hash(channel_id)}"


def sora_upstream(channel_id: str, order: str) -> Key:
    """One push that is owed to a media server."""
    return Key(sora_upstreams(channel_id), order)


WCS_LISTS: Final = 4
"""So many partitions list the streams of all servers, so that no key is too hot."""


def wcs_sessions(media_session: str) -> str:
    """The partition of the streams that have this id: one, unless two servers chose the same."""
    return f"w{ids.short_hash(media_session)}"


def wcs_stream(media_session: str, node: str) -> Key:
    """A stream of one server."""
    return Key(wcs_sessions(media_session), ids.short_hash(node))


def wcs_end(stream: Key) -> Key:
    """That a stream's server is still to be told that it shall end."""
    return Key(f"wt{stream.pk.removeprefix('w')}", stream.sk)


def wcs_of_end(end: Key) -> Key:
    """The stream of which a server is to be told."""
    return Key(f"w{end.pk.removeprefix('wt')}", end.sk)


def wcs_lists() -> list[str]:
    """Every partition of the list of streams."""
    return [f"wl{part}" for part in range(WCS_LISTS)]


def wcs_named(name: str) -> Key:
    """Where the streams of a name are listed: the partition, and what their sort keys begin with."""
    return Key(f"wl{ids.bucket(name, WCS_LISTS)}", f"{ids.short_hash(name)}#")


def wcs_listed(name: str, stream: Key) -> Key:
    """That a stream had this name at some time."""
    where = wcs_named(name)
    return Key(where.pk, f"{where.sk}{stream.pk.removeprefix('w')}#{stream.sk}")


def wcs_of_listed(listed: Key) -> Key:
    """The stream that a row of the list is about."""
    _, media_session, node = listed.sk.split("#")
    return Key(f"w{media_session}", node)


CONFERENCES: Final = "c"
CHANNELS: Final = "s"


def noted(which: str, name: str) -> Key:
    """That a name stands in the list of all conferences, or of all channels."""
    return Key(f"aN{which}", name)


def admin_session(cookie_hash: str) -> Key:
    """A session of an operator."""
    return Key(f"aS{ids.short_hash(cookie_hash)}", ONLY)


def admin_attempts(source: str, minute: int) -> Key:
    """The wrong tokens that one source tried in one minute."""
    return Key(f"aF{ids.short_hash(source)}", base36(minute))
