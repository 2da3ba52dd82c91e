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
