"""Templates, layouts and regions (contract 8.5)."""

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.owt import layout
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.layout import Area, Arrangement, Input, Picture, Region
from tests.owt.documents import view

AUDIO_ONLY = {"label": "common", "audio": {}, "video": False}


def inputs(names: str) -> list[Input]:
    """Inputs `a`, `b`, ... in that order of mixing."""
    return [Input(name, at) for at, name in enumerate(names)]


def picture(names: str, arranged: Arrangement | None = None, *, change: str = "1", **video) -> Picture:
    return Picture(view(**video), inputs(names), arranged, change)


def streams(places) -> list[str | None]:
    return [place.stream for place in places]


def corners(regions) -> list[tuple[str, ...]]:
    return [(region.id, region.area.left, region.area.top, region.area.width) for region in regions]


def wanted(*entries, area=None):
    """A layout as a caller writes it: `("a", "1")` is stream a in region 1, `(None, "2")` an empty region."""
    where = area or {"left": "0", "top": "0", "width": "1/2", "height": "1/2"}
    return [
        {"region": {"id": name, "shape": "rectangle", "area": where}}
        | ({} if stream is None else {"stream": stream})
        for stream, name in entries
    ]


def arrange(names: str, *entries, change: str = "1", **video) -> Arrangement:
    """What setting these entries leaves in a view with these inputs."""
    return layout.set_layout(picture(names, change=change, **video), layout.parse(wanted(*entries)))


# Templates


@pytest.mark.parametrize(
    ("most", "numbers"),
    [(1, [1]), (2, [1, 4]), (4, [1, 4]), (5, [1, 4, 9]), (16, [1, 4, 9, 16]), (17, [1, 4, 9, 16, 25])],
)
def test_fluid_has_grids_up_to_the_root_of_max_input(most, numbers):
    assert [len(each) for each in layout.templates(view(maxInput=most))] == numbers


def test_fluid_of_256_inputs_has_16_grids():
    assert len(layout.templates(view(maxInput=256))) == 16


def test_a_fluid_grid_goes_row_by_row():
    grid = layout.templates(view(maxInput=4))[1]
    assert corners(grid) == [
        ("1", "0/2", "0/2", "1/2"),
        ("2", "1/2", "0/2", "1/2"),
        ("3", "0/2", "1/2", "1/2"),
        ("4", "1/2", "1/2", "1/2"),
    ]
    assert all(region.shape == "rectangle" and region.area.height == "1/2" for region in grid)


@pytest.mark.parametrize(
    ("most", "numbers"),
    [
        (1, [1, 6]),
        (6, [1, 6]),
        (7, [1, 6, 8]),
        (8, [1, 6, 8]),
        (9, [1, 6, 8, 10]),
        (13, [1, 6, 8, 10, 12, 14]),
        (14, [1, 6, 8, 10, 12, 14]),
        (15, [1, 6, 8, 10, 12, 13, 14, 17]),
        (17, [1, 6, 8, 10, 12, 13, 14, 17]),
        (18, [1, 6, 8, 10, 12, 13, 14, 17, 21]),
        (256, [1, 6, 8, 10, 12, 13, 14, 17, 21, 25]),
    ],
)
def test_lecture_has_templates_for_so_many_inputs(most, numbers):
    assert [len(each) for each in layout.templates(view(base="lecture", maxInput=most))] == numbers


def test_lecture_of_six_has_a_main_region_and_five_around_it():
    _, six = layout.templates(view(base="lecture", maxInput=6))
    assert corners(six) == [
        ("1", "0/1", "0/1", "2/3"),
        ("2", "2/3", "0/1", "1/3"),
        ("3", "2/3", "1/3", "1/3"),
        ("4", "2/3", "2/3", "1/3"),
        ("5", "1/3", "2/3", "1/3"),
        ("6", "0/1", "2/3", "1/3"),
    ]


def test_lecture_of_eight_goes_down_the_right_column_and_back_along_the_bottom_row():
    eight = layout.templates(view(base="lecture", maxInput=8))[2]
    assert corners(eight) == [
        ("1", "0/1", "0/1", "3/4"),
        *((str(2 + y), "3/4", f"{y}/4", "1/4") for y in range(4)),
        *((str(8 - x), f"{x}/4", "3/4", "1/4") for x in (2, 1, 0)),
    ]


def test_lecture_of_seventeen_has_two_rings_the_inner_one_first():
    seventeen = layout.templates(view(base="lecture", maxInput=17))[-1]
    assert corners(seventeen)[0] == ("1", "0/1", "0/1", "3/5")
    inner_column = [(left, top) for _, left, top, _ in corners(seventeen)[1:5]]
    inner_row = [(left, top) for _, left, top, _ in corners(seventeen)[5:8]]
    outer_column = [(left, top) for _, left, top, _ in corners(seventeen)[8:13]]
    outer_row = [(left, top) for _, left, top, _ in corners(seventeen)[13:]]
    assert inner_column == [("3/5", f"{y}/5") for y in range(4)]
    assert inner_row == [(f"{x}/5", "3/5") for x in (2, 1, 0)]
    assert outer_column == [("4/5", f"{y}/5") for y in range(5)]
    assert outer_row == [(f"{x}/5", "4/5") for x in (3, 2, 1, 0)]


def test_the_regions_of_every_base_template_cover_the_picture_without_overlap():
    for base in ("fluid", "lecture"):
        for regions in layout.templates(view(base=base, maxInput=256)):
            areas = [
                [Fraction(getattr(each.area, side)) for side in ("left", "top", "width", "height")]
                for each in regions
            ]
            assert sum(width * height for _, _, width, height in areas) == 1
            assert all(left + width <= 1 and top + height <= 1 for left, top, width, height in areas)
            assert [each.id for each in regions] == [str(number) for number in range(1, len(regions) + 1)]
            places = {(left, top) for left, top, _, _ in areas}
            assert len(places) == len(regions)


def test_void_has_no_templates():
    assert layout.templates(view(base="void")) == ()


def test_a_view_without_video_has_no_templates_and_shows_nothing():
    assert layout.templates(AUDIO_ONLY) == ()
    assert layout.shown(Picture(AUDIO_ONLY, inputs("ab"))) == ()


def custom(number: int, prefix: str = "c", edge="1/2") -> dict[str, Any]:
    area = {"left": edge, "top": edge, "width": edge, "height": edge}
    return {
        "region": [{"id": f"{prefix}{each}", "shape": "rectangle", "area": area} for each in range(number)]
    }


def test_custom_templates_are_inserted_by_number_and_replace_a_base_template_of_the_same():
    found = layout.templates(view(maxInput=9, custom=[custom(6), custom(4), custom(2), custom(12)]))
    assert [len(each) for each in found] == [1, 2, 4, 6, 9, 12]
    assert [each[0].id for each in found] == ["1", "c0", "c0", "c0", "1", "c0"]


def test_of_two_custom_templates_of_the_same_number_the_later_one_stays():
    (found,) = layout.templates(view(base="void", custom=[custom(3, "x"), custom(3, "y")]))
    assert [each.id for each in found] == ["y0", "y1", "y2"]


@pytest.mark.parametrize(
    ("edge", "spelled"),
    [
        ("0", "0/1"),
        ("1", "1/1"),
        ("1/5", "1/5"),
        ("2/4", "2/4"),
        ("0.5", "1/2"),
        ("0.333", "333/1000"),
        ("1.0", "1/1"),
        ("0.0", "0/1"),
        (0, 0),
        (1, 1),
        (0.25, 0.25),
    ],
)
def test_areas_of_custom_templates_are_shown_as_fractions_and_numbers_as_numbers(edge, spelled):
    (found,) = layout.templates(view(base="void", custom=[custom(1, edge=edge)]))
    assert found[0].area == Area(spelled, spelled, spelled, spelled)
    assert type(found[0].area.left) is type(spelled)


# What is shown


def test_a_view_without_inputs_shows_nothing():
    assert layout.shown(picture("")) == ()
    assert layout.shown(picture("", custom=[{"region": []}])) == ()


def test_the_first_input_takes_the_whole_picture():
    (place,) = layout.shown(picture("a"))
    assert place.spell() == {
        "stream": "a",
        "region": {
            "id": "1",
            "shape": "rectangle",
            "area": {"left": "0/1", "top": "0/1", "width": "1/1", "height": "1/1"},
        },
    }


def test_the_fewest_regions_not_fewer_than_the_inputs_are_all_shown_in_order():
    places = layout.shown(picture("ab"))
    assert streams(places) == ["a", "b", None, None]
    assert [place.region.id for place in places] == ["1", "2", "3", "4"]
    assert "stream" not in places[3].spell()
    assert len(layout.shown(picture("abcde"))) == 9


def test_where_no_template_is_big_enough_the_last_one_used_stays():
    assert streams(layout.shown(picture("abcdef", maxInput=4))) == ["a", "b", "c", "d"]
    assert streams(layout.shown(picture("abc", base="void", custom=[custom(2), custom(1)]))) == ["a", "b"]


def test_void_without_custom_templates_shows_nothing():
    assert layout.shown(picture("ab", base="void")) == ()


@given(
    number=st.integers(0, 40),
    most=st.integers(1, 256),
    base=st.sampled_from(["fluid", "lecture", "void"]),
    customs=st.lists(st.integers(0, 12), max_size=3),
)
def test_every_input_is_shown_once_in_order_of_mixing_while_there_are_regions(number, most, base, customs):
    names = [Input(f"s{each}", each) for each in range(number)]
    shape = view(base=base, maxInput=most, custom=[custom(each) for each in customs])
    places = layout.shown(Picture(shape, names))
    found = [stream for stream in streams(places) if stream is not None]
    assert found == [each.stream for each in names][: len(places)]
    assert streams(places)[: len(found)] == found
    sizes = [len(each) for each in layout.templates(shape)]
    assert all(one < other for one, other in pairwise(sizes))
    if number and sizes:
        assert len(places) == min((size for size in sizes if size >= number), default=max(sizes))


# Setting a layout


def test_a_layout_is_shown_as_it_was_set():
    arranged = arrange("ab", ("b", "x"), ("a", "y"), (None, "z"))
    places = layout.shown(picture("ab", arranged))
    assert streams(places) == ["b", "a", None]
    assert [place.region.id for place in places] == ["x", "y", "z"]
    assert places[0].region.area == Area("0/1", "0/1", "1/2", "1/2")


def test_streams_that_a_layout_does_not_name_stay_unshown_and_empty_regions_stay_empty():
    arranged = arrange("abc", ("b", "x"), (None, "y"), (None, "z"))
    assert streams(layout.shown(picture("abc", arranged))) == ["b", None, None]


def test_an_empty_list_leaves_the_view_without_regions():
    arranged = arrange("ab")
    assert layout.shown(picture("ab", arranged)) == ()
    assert layout.shown(picture("abc", arranged, change="2")) == ()


def test_when_the_inputs_change_the_regions_fill_in_the_stored_order():
    arranged = arrange("abc", ("b", "x"), (None, "y"), (None, "z"))
    assert streams(layout.shown(picture("abcd", arranged, change="2"))) == ["b", "a", "c"]
    without_b = Picture(view(), [Input("a", 0), Input("c", 2)], arranged, "2")
    assert streams(layout.shown(without_b)) == ["a", "c", None]


def test_after_an_explicit_layout_only_that_layout_is_left_as_a_template():
    arranged = arrange("a", ("a", "only"))
    places = layout.shown(picture("abcde", arranged, change="2"))
    assert streams(places) == ["a"]
    assert places[0].region.id == "only"
    assert [place.region.id for place in layout.shown(picture("", arranged, change="3"))] == ["only"]


def test_a_change_and_its_undoing_end_the_layout_as_it_was_set():
    arranged = arrange("abc", ("b", "x"), (None, "y"), (None, "z"))
    assert streams(layout.shown(picture("abc", arranged, change="3"))) == ["b", "a", "c"]


def test_a_stream_that_left_and_came_again_stands_last():
    arranged = arrange("abc", ("a", "x"), ("b", "y"), ("c", "z"))
    again = Picture(view(), [Input("b", 1), Input("c", 2), Input("a", 9)], arranged, "3")
    assert streams(layout.shown(again)) == ["b", "c", "a"]


@pytest.mark.parametrize(
    "entries",
    [
        [(None, "x"), ("a", "y")],
        [("a", "x"), ("a", "y")],
        [("a", "x"), ("b", "x")],
        [("a", "x"), (None, "x")],
        [("nobody", "x")],
    ],
    ids=["empty before full", "stream twice", "id twice", "id twice, one empty", "stream not in this view"],
)
def test_refused_layouts(entries):
    with pytest.raises(Refused):
        layout.set_layout(picture("ab"), layout.parse(wanted(*entries)))


def test_a_view_without_video_takes_no_layout():
    with pytest.raises(Refused):
        layout.set_layout(Picture(AUDIO_ONLY, inputs("a")), [])


@pytest.mark.parametrize("edge", ["3/2", 1.5, -0.1, 2, -1, "7/6"])
def test_an_area_outside_the_picture_is_refused(edge):
    area = {"left": "0", "top": 0, "width": "1/2", "height": edge}
    with pytest.raises(Refused):
        layout.set_layout(picture("a"), layout.parse(wanted(("a", "x"), area=area)))


NO_EDGES = ["1/0", "0/0", "", "a", "0.5", "1 /2", "-1/2", "1/", "/2", "1/2/3", "2", "01", "1/2\n", "٣/٤"]


@pytest.mark.parametrize("edge", [*NO_EDGES, None, True, [], {}, ["1"]])
def test_an_area_of_another_form_is_bad(edge):
    with pytest.raises(BadData):
        layout.parse(wanted(("a", "x"), area={"left": "0", "top": "0", "width": "1/2", "height": edge}))


FULL = {"left": "0", "top": "0", "width": "1", "height": "1"}


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        "x",
        [None],
        [[]],
        [{}],
        [{"stream": "a"}],
        [{"region": []}],
        [{"region": {"shape": "rectangle", "area": FULL}}],
        [{"region": {"id": "", "shape": "rectangle", "area": FULL}}],
        [{"region": {"id": 1, "shape": "rectangle", "area": FULL}}],
        [{"region": {"id": "1", "area": FULL}}],
        [{"region": {"id": "1", "shape": "circle", "area": FULL}}],
        [{"region": {"id": "1", "shape": "rectangle"}}],
        [{"region": {"id": "1", "shape": "rectangle", "area": []}}],
        [{"region": {"id": "1", "shape": "rectangle", "area": {"left": 0, "top": 0, "width": 1}}}],
        [{"stream": 1, "region": {"id": "1", "shape": "rectangle", "area": FULL}}],
        [{"stream": None, "region": {"id": "1", "shape": "rectangle", "area": FULL}}],
    ],
)
def test_what_is_no_layout_is_bad(value):
    with pytest.raises(BadData):
        layout.parse(value)


def test_areas_are_answered_as_fractions_and_numbers_as_numbers_d14():
    area = {"left": "0", "top": 0, "width": "2/4", "height": 0.5}
    (entry,) = layout.parse(wanted(("a", "x"), area=area))
    assert entry.region == Region("x", Area("0/1", 0, "2/4", 0.5))


def test_unknown_fields_of_a_layout_are_ignored():
    (entry,) = layout.parse(
        [{"region": {"id": "x", "shape": "rectangle", "area": {**FULL, "z": 1}, "colour": 3}, "more": None}]
    )
    assert (entry.region.id, entry.stream) == ("x", None)


# Regions


def test_the_stream_takes_the_region_and_what_was_there_takes_its_place():
    arranged = layout.set_region(picture("abc"), 0, "c")
    assert streams(layout.shown(picture("abc", arranged))) == ["c", "b", "a", None]


def test_setting_a_region_to_the_stream_that_is_there_changes_nothing():
    arranged = layout.set_region(picture("ab"), 1, "b")
    assert streams(layout.shown(picture("ab", arranged))) == ["a", "b", None, None]


def test_after_a_swap_the_templates_of_the_view_stay():
    arranged = layout.set_region(picture("ab"), 0, "b")
    assert streams(layout.shown(picture("abcde", arranged, change="2")))[:6] == [
        "b",
        "a",
        "c",
        "d",
        "e",
        None,
    ]
    assert len(layout.shown(picture("abcde", arranged, change="2"))) == 9


def test_a_swap_within_an_explicit_layout_keeps_its_regions_and_what_is_unshown():
    first = arrange("abc", ("a", "x"), ("b", "y"), (None, "z"))
    second = layout.set_region(picture("abc", first), 1, "c")
    places = layout.shown(picture("abc", second))
    assert streams(places) == ["a", "c", None]
    assert [place.region.id for place in places] == ["x", "y", "z"]


@pytest.mark.parametrize("number", [2, 3, 4, 99, -1])
def test_a_region_that_is_out_of_range_or_not_occupied_is_refused(number):
    with pytest.raises(Refused):
        layout.set_region(picture("ab"), number, "a")


def test_a_stream_that_is_not_in_this_view_takes_no_region():
    with pytest.raises(Refused):
        layout.set_region(picture("ab"), 0, "c")


def test_an_empty_region_of_an_explicit_layout_cannot_be_taken():
    arranged = arrange("ab", ("a", "x"), (None, "y"))
    with pytest.raises(Refused):
        layout.set_region(picture("ab", arranged), 1, "b")


@given(st.data())
def test_swaps_never_lose_or_double_a_stream(data):
    number = data.draw(st.integers(1, 12))
    names = [Input(f"s{each}", each) for each in range(number)]
    now = Picture(view(maxInput=data.draw(st.integers(1, 16))), names, None, "1")
    shown_at_first = len(streams(layout.shown(now)))
    for _ in range(data.draw(st.integers(1, 5))):
        count = min(number, shown_at_first)
        region, stream = data.draw(st.integers(0, count - 1)), data.draw(st.sampled_from(names)).stream
        now = now._replace(set=layout.set_region(now, region, stream))
        found = streams(layout.shown(now))
        assert found[region] == stream
        present = [each for each in found if each is not None]
        assert len(set(present)) == len(present) == count
    assert math.isqrt(shown_at_first) ** 2 == shown_at_first


def test_an_arrangement_is_stored_as_json():
    arranged = arrange("ab", ("b", "x"), (None, "y"))
    assert msgspec.json.decode(msgspec.json.encode(arranged), type=Arrangement) == arranged
