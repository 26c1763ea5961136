"""Names, defaults and bounds, on settings made up for the purpose."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.setting_names import SettingsError, names_of, part, parts_of, titles_of, unknown
from pool.settings import setting


@dataclasses.dataclass(frozen=True, slots=True)
class Oven:
    """A part."""

    top_degrees: int = setting(180, "How hot.", unit="degrees", minimum=50, maximum=300)
    minutes: float = setting(2.5, "How long.", unit="minutes", minimum=0.5)
    racks: int = setting(3, "How many.")
    crumbs: int = setting(1_048_576, "Until cleaned.", unit="bytes", minimum=0)
    shelf: int = setting(20_480, "Room.", unit="bytes")
    odd: int = setting(1_500, "Odd room.", unit="bytes")
    recipe: int = setting(20_480, "A page.", unit="characters")
    recipes: int = setting(1_048_576, "All pages.", unit="characters")
    mode: str = setting("fan", "What moves.", choices=("fan", "none"))
    label: str = setting("", "What it says.")
    dishes: tuple[str, ...] = setting((), "What is in it.")
    internal: int = 7


@dataclasses.dataclass(frozen=True, slots=True)
class Kitchen:
    """What is composed."""

    name: str = setting("home", "What it is called.")
    oven: Oven = part(Oven, "The oven")


NAMES = {name.key: name for name in names_of(Kitchen)}


def test_what_is_declared_is_a_setting_and_nothing_else_is() -> None:
    assert list(NAMES) == ["name"] + [
        f"oven.{field.name}" for field in dataclasses.fields(Oven) if field.name != "internal"
    ]
    assert parts_of(Kitchen) == {"oven": Oven}
    assert titles_of(Kitchen) == {"oven": "The oven"}
    assert Kitchen() == Kitchen("home", Oven())


def test_a_setting_is_called_alike_everywhere() -> None:
    name = NAMES["oven.top_degrees"]
    assert name.flag == "--oven-top-degrees"
    assert name.variable == "FRONTEND_ROUTER_OVEN_TOP_DEGREES"
    assert NAMES["name"].flag == "--name"
    assert NAMES["name"].variable == "FRONTEND_ROUTER_NAME"


@pytest.mark.parametrize(
    ("key", "word", "default"),
    [
        ("name", "TEXT", "home"),
        ("oven.top_degrees", "DEGREES", "180 degrees"),
        ("oven.minutes", "MINUTES", "2.5 minutes"),
        ("oven.racks", "NUMBER", "3"),
        ("oven.crumbs", "BYTES", "1 MiB"),
        ("oven.shelf", "BYTES", "20 KiB"),
        ("oven.odd", "BYTES", "1,500 bytes"),
        ("oven.recipe", "CHARACTERS", "20 Ki characters"),
        ("oven.recipes", "CHARACTERS", "1 Mi characters"),
        ("oven.mode", "fan|none", "fan"),
        ("oven.label", "TEXT", "none"),
        ("oven.dishes", "A,B,...", "none"),
    ],
)
def test_help_says_what_to_give_and_what_is_given_otherwise(
    key: str, word: str, default: str
) -> None:
    assert (NAMES[key].value_word(), NAMES[key].shown_default()) == (word, default)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("name", "", ""),
        ("name", "a,b", "a,b"),
        ("oven.top_degrees", "50", 50),
        ("oven.top_degrees", " 300 ", 300),
        ("oven.minutes", "3", 3.0),
        ("oven.minutes", "1e3", 1000.0),
        ("oven.mode", "none", "none"),
        ("oven.dishes", "", ()),
        ("oven.dishes", "pie", ("pie",)),
        ("oven.dishes", " pie , ,bread,", ("pie", "bread")),
    ],
)
def test_a_text_means_its_value(key: str, text: str, value: Any) -> None:
    meant = NAMES[key].parse(text, "here")
    assert meant == value
    assert type(meant) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "complaint"),
    [
        ("oven.top_degrees", "warm", "here takes a whole number, not 'warm'"),
        ("oven.top_degrees", "60.0", "here takes a whole number, not '60.0'"),
        ("oven.top_degrees", "", "here takes a whole number, not ''"),
        ("oven.top_degrees", "49", "here is at least 50 degrees, not 49"),
        ("oven.top_degrees", "301", "here is at most 300 degrees, not 301"),
        ("oven.minutes", "long", "here takes a number, not 'long'"),
        ("oven.minutes", "0.4", "here is at least 0.5 minutes, not 0.4"),
        ("oven.minutes", "inf", "here takes a finite number of minutes"),
        ("oven.minutes", "nan", "here takes a finite number of minutes"),
        ("oven.mode", "Fan", "here is one of fan, none, not 'Fan'"),
        ("oven.crumbs", "-1", "here is at least 0 bytes, not -1"),
    ],
)
def test_a_text_that_means_none_is_refused_with_the_bound(
    key: str, text: str, complaint: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        NAMES[key].parse(text, "here")
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("name", 1, "takes a text, not 1"),
        ("oven.racks", True, "takes a whole number, not True"),
        ("oven.racks", 1.0, "takes a whole number, not 1.0"),
        ("oven.racks", "1", "takes a whole number, not '1'"),
        ("oven.minutes", False, "takes a number, not False"),
        ("oven.minutes", [1], "takes a number, not [1]"),
        ("oven.dishes", "pie", "takes a list of texts, not 'pie'"),
        ("oven.dishes", ["pie", 1], "takes a list of texts, not ('pie', 1)"),
        ("oven.dishes", {"pie": 1}, "takes a list of texts, not {'pie': 1}"),
    ],
)
def test_a_value_of_another_type_is_refused(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        NAMES[key].check(value, "file: key")
    assert str(refused.value) == f"file: key {complaint}"


def test_a_whole_number_is_a_number_and_a_list_is_a_tuple() -> None:
    minutes = NAMES["oven.minutes"].check(3, "here")
    assert (minutes, type(minutes)) == (3.0, float)
    assert NAMES["oven.dishes"].check(["pie"], "here") == ("pie",)


@given(st.sampled_from(list(NAMES.values())), st.text(max_size=12))
def test_any_text_is_a_value_within_the_bounds_or_refused(name: Any, text: str) -> None:
    try:
        value = name.parse(text, "here")
    except SettingsError as refused:
        assert str(refused).startswith("here ")
    else:
        assert name.check(value, "here") == value


@pytest.mark.parametrize(
    ("wrong", "near"), [("naem", "name"), ("oven", "oven"), ("", "name"), ("§", "name")]
)
def test_an_unknown_name_is_told_the_nearest(wrong: str, near: str) -> None:
    complaint = unknown("thing", wrong, iter(["name", "oven"]))
    assert complaint.startswith(f"there is no thing {wrong}; the nearest is ")
    assert wrong in ("", "§") or complaint.endswith(near)
