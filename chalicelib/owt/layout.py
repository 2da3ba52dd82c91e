"""Where a view shows its inputs: templates, and the layouts that callers set (contract 8.5).  Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from chalicelib.owt.errors import BadData, Refused
from chalicelib.wire.untrusted import Json

SMALLEST_RING: Final = 3
LARGEST_RING: Final = 7
ZERO: Final = "0/1"
LARGEST_LAYOUT: Final = 256
LONGEST_ID: Final = 256
FRACTION: Final = re.compile(r"[01]|([0-9]{1,15})/([0-9]{1,15})")

Edge: TypeAlias = str | int | float
"""One number of an area as answers show it: `"n/d"`, or a number that came as one."""


class Area(msgspec.Struct, frozen=True):
    """Where a region lies, as parts of the picture."""

    left: Edge
    top: Edge
    width: Edge
    height: Edge


class Region(msgspec.Struct, frozen=True):
    """One place in the picture."""

    id: str
    area: Area
    shape: str = "rectangle"


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A region, and the stream in it if there is one; an entry of `info.layout`."""

    region: Region
    stream: str | None = None

    def spell(self) -> dict[str, Any]:
        """The entry as it is answered."""
        region = msgspec.to_builtins(self.region)
        return {"region": region} if self.stream is None else {"stream": self.stream, "region": region}


class Input(NamedTuple):
    """A stream in a view since `at`; a stream that left and came again is another input."""

    stream: str
    at: int


class Arrangement(msgspec.Struct, frozen=True):
    """What callers have set in a view.

    `order` holds every input there was, those of them that are shown first; the first `shown` are.  Without
    `regions` only the order was changed, and the view's templates stay.
    """

    order: tuple[Input, ...]
    shown: int
    regions: tuple[Region, ...] | None = None
    change: str = ""
    """The last change of the view's inputs when this was set."""


class Picture(NamedTuple):
    """A view as it is: its part of the room document, its inputs in order of mixing, what was set."""

    view: Mapping[str, Any]
    inputs: Sequence[Input]
    set: Arrangement | None = None
    change: str = ""
    """Names the last change of the inputs; another text after each."""
    reported: tuple[Place, ...] | None = None
    """What the mixer says it shows, as long as that stands for anything."""


# Templates


def templates(view: Mapping[str, Any]) -> tuple[tuple[Region, ...], ...]:
    """The templates of a view of the room document, the smallest first; none for a view without video."""
    video = view["video"]
    if not video:
        return ()
    wanted = video["layout"]["templates"]
    found = {len(regions): regions for regions in _base(wanted["base"], int(video["maxInput"]))}
    for custom in wanted["custom"]:
        regions = tuple(_custom(region) for region in custom["region"])
        found[len(regions)] = regions
    return tuple(found[number] for number in sorted(found))


@lru_cache(maxsize=64)
def _base(base: str, most: int) -> tuple[tuple[Region, ...], ...]:
    match base:
        case "fluid":
            return tuple(_fluid(most))
        case "lecture":
            return tuple(_lecture(most))
        case _:
            return ()


def _fluid(most: int) -> Iterator[tuple[Region, ...]]:
    for parts in range(1, math.isqrt(most - 1) + 2):
        fields = ((x, y) for y in range(parts) for x in range(parts))
        yield tuple(_square(number, at, parts) for number, at in enumerate(fields, 1))


def _lecture(most: int) -> Iterator[tuple[Region, ...]]:
    yield (_main(1, 1),)
    yield _around(_main(2, 3), _ring(3), 3)
    if most > 6:
        for parts in range(4, min(LARGEST_RING, math.ceil(most / 2)) + 1):
            yield _around(_main(parts - 1, parts), _ring(parts), parts)
    if most > 14:
        for parts in range(4, min(LARGEST_RING, math.ceil((most + 3) / 4)) + 1):
            yield _around(_main(parts - 2, parts), [*_ring(parts - 1), *_ring(parts)], parts)


def _main(size: int, parts: int) -> Region:
    side = f"{size}/{parts}"
    return Region("1", Area(ZERO, ZERO, side, side))


def _around(main: Region, squares: Iterable[tuple[int, int]], parts: int) -> tuple[Region, ...]:
    # The original shares the smaller template's zero with its main region.
    small = parts == SMALLEST_RING
    return (main, *(_square(number, at, parts, small) for number, at in enumerate(squares, 2)))


def _ring(size: int) -> Iterator[tuple[int, int]]:
    """The right column of a square downwards, then its bottom row to the left."""
    for y in range(size):
        yield size - 1, y
    for x in reversed(range(size - 1)):
        yield x, size - 1


def _square(number: int, at: tuple[int, int], parts: int, plain_zero: bool = False) -> Region:
    """One field of a grid of so many parts."""
    left, top = (ZERO if plain_zero and not each else f"{each}/{parts}" for each in at)
    return Region(str(number), Area(left, top, f"1/{parts}", f"1/{parts}"))


def _custom(region: Mapping[str, Any]) -> Region:
    area = region["area"]
    return Region(
        region["id"],
        Area(*(spell(area[name]) for name in Area.__struct_fields__)),
        region.get("shape", "rectangle"),
    )


def spell(edge: Edge) -> Edge:
    """A number of an area, as answers show it.

    >>> [spell(edge) for edge in ("0", "1", "2/4", "0.50", 0.5)]
    ['0/1', '1/1', '2/4', '1/2', 0.5]
    """
    if not isinstance(edge, str):
        return edge
    if "/" in edge:
        return edge
    exact = Fraction(edge)
    return f"{exact.numerator}/{exact.denominator}"


# What is shown


def shown(picture: Picture) -> tuple[Place, ...]:
    """The places of a view now: what was set while the inputs are those it was set for, else where a mixer
    would put them; what a mixer says it shows, less the streams that have left since, goes before both."""
    if picture.reported is not None:
        return _still(picture.reported, picture)
    regions, order, count = _now(picture)
    streams = [each.stream for each in order[:count]]
    return tuple(
        Place(region, streams[number] if number < len(streams) else None)
        for number, region in enumerate(regions)
    )


def _still(places: Iterable[Place], picture: Picture) -> tuple[Place, ...]:
    """These places, those of streams that are not in the view empty."""
    present = {each.stream for each in picture.inputs}
    return tuple(each if each.stream in present else Place(each.region) for each in places)


def _now(picture: Picture) -> tuple[tuple[Region, ...], tuple[Input, ...], int]:
    """The regions, every input in the order in which they fill them, and how many do."""
    if picture.reported is not None:
        return _of_places(_still(picture.reported, picture), picture)
    arranged = picture.set
    order = _order(picture)
    as_set = arranged is not None and arranged.change == picture.change and _same(arranged, picture)
    if arranged is not None and arranged.regions is not None:
        regions = arranged.regions
    else:
        regions = _fitting(templates(picture.view), len(order))
    most = arranged.shown if as_set and arranged is not None else len(order)
    return regions, order, min(most, len(regions))


def _of_places(
    places: Sequence[Place], picture: Picture
) -> tuple[tuple[Region, ...], tuple[Input, ...], int]:
    """The same of places as a mixer says they are: occupied ones may stand behind empty ones."""
    inputs = {each.stream: each for each in picture.inputs}
    named = [inputs[each.stream] for each in places if each.stream is not None]
    rest = [each for each in _order(picture) if each not in named]
    return tuple(each.region for each in places), (*named, *rest), len(named)


def _order(picture: Picture) -> tuple[Input, ...]:
    """The inputs as they were arranged, those that came later behind them."""
    if picture.set is None:
        return tuple(picture.inputs)
    present = set(picture.inputs)
    kept = [each for each in picture.set.order if each in present]
    known = set(kept)
    return (*kept, *(each for each in picture.inputs if each not in known))


def _same(arranged: Arrangement, picture: Picture) -> bool:
    return set(arranged.order) == set(picture.inputs)


def _fitting(choice: Sequence[tuple[Region, ...]], inputs: int) -> tuple[Region, ...]:
    """The smallest template with a region for each input; inputs come one by one, so that the last one used
    before none is big enough is the largest."""
    if not inputs or not choice:
        return ()
    return next((regions for regions in choice if len(regions) >= inputs), choice[-1])


# What callers set


class Entry(msgspec.Struct, frozen=True):
    """One entry of a layout that a caller wants; `outside`: a number of its area lies outside [0, 1]."""

    region: Region
    stream: str | None
    outside: bool


def parse(value: Json) -> list[Entry]:
    """A wanted layout.  Raises `BadData`."""
    if not isinstance(value, list):
        raise BadData("a layout is a list")
    return [_entry(each) for each in value]


def _entry(value: Json) -> Entry:
    if not isinstance(value, dict) or not isinstance(region := value.get("region"), dict):
        raise BadData("an entry of a layout is an object with a region")
    stream = value.get("stream")
    if "stream" in value and not isinstance(stream, str):
        raise BadData("the stream of a layout's entry is an id")
    name, area = region.get("id"), region.get("area")
    if not (isinstance(name, str) and name) or region.get("shape") != "rectangle":
        raise BadData("a region has an id and the shape rectangle")
    if not isinstance(area, dict):
        raise BadData("a region has an area")
    edges = [_edge(area.get(side)) for side in Area.__struct_fields__]
    return Entry(
        Region(name, Area(*(spelled for spelled, _ in edges))),
        stream if isinstance(stream, str) else None,
        any(outside for _, outside in edges),
    )


def _edge(value: Json) -> tuple[Edge, bool]:
    """A number of an area as answers show it, and whether it is outside [0, 1].  Raises `BadData`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value, not 0 <= value <= 1
    if isinstance(value, str) and (parts := FRACTION.fullmatch(value)):
        above, below = (int(number or 1) for number in parts.groups())
        if below:
            return spell(value), above > below
    raise BadData("a number of an area is a fraction or a number")


def set_layout(picture: Picture, wanted: Sequence[Entry]) -> Arrangement:
    """What `replace /info/layout` leaves in a view: from now on its only template.  Raises `Refused`."""
    if not picture.view["video"]:
        raise Refused("the view has no video")
    if any(entry.outside for entry in wanted):
        raise Refused("an area lies outside the picture")
    if len({entry.region.id for entry in wanted}) < len(wanted):
        raise Refused("two regions share an id")
    named = [entry.stream for entry in wanted if entry.stream is not None]
    if [entry.stream for entry in wanted[: len(named)]] != named:
        raise Refused("an empty region stands before one with a stream")
    if len(set(named)) < len(named):
        raise Refused("a stream stands in two regions")
    inputs = {each.stream: each for each in picture.inputs}
    if not inputs.keys() >= set(named):
        raise Refused("the stream is not in this view")
    first = [inputs[name] for name in named]
    rest = [each for each in _order(picture) if each.stream not in named]
    return Arrangement((*first, *rest), len(first), tuple(entry.region for entry in wanted), picture.change)


def set_region(picture: Picture, number: int, stream: str) -> Arrangement:
    """What `replace /info/layout/<n>/stream` leaves: two inputs that changed places.  Raises `Refused`."""
    _, order, count = _now(picture)
    place = next((at for at, each in enumerate(order) if each.stream == stream), None)
    if place is None:
        raise Refused("the stream is not in this view")
    if picture.reported is not None:
        number = _occupied(_still(picture.reported, picture), number)
    if not 0 <= number < count:
        raise Refused("the region is not occupied")
    swapped = list(order)
    swapped[number], swapped[place] = swapped[place], swapped[number]
    explicit = picture.set.regions if picture.set is not None else None
    shown_for_good = count if explicit is not None else len(order)
    return Arrangement(tuple(swapped), shown_for_good, explicit, picture.change)


def _occupied(places: Sequence[Place], number: int) -> int:
    """Which of the occupied regions the one with this number is; -1 for none."""
    if not 0 <= number < len(places) or places[number].stream is None:
        return -1
    return sum(each.stream is not None for each in places[:number])


# What a mixer says it shows


def parse_shown(value: Json) -> tuple[Place, ...]:
    """A layout as answers show it, as a mixer has it: empty regions may stand anywhere.  Raises `BadData`."""
    entries = parse(value)
    if len(entries) > LARGEST_LAYOUT:
        raise BadData(f"a layout has at most {LARGEST_LAYOUT} regions")
    if any(entry.outside or len(entry.region.id) > LONGEST_ID for entry in entries):
        raise BadData("an area lies outside the picture, or a region has too long an id")
    streams = [entry.stream for entry in entries if entry.stream is not None]
    if any(len(stream) > LONGEST_ID for stream in streams):
        raise BadData("this cannot be the id of a stream")
    if len(set(streams)) < len(streams) or len({entry.region.id for entry in entries}) < len(entries):
        raise BadData("a region or a stream stands there twice")
    return tuple(Place(entry.region, entry.stream) for entry in entries)
