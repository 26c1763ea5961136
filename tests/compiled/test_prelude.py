"""Compiled code looks names up as the interpreter does, whatever it found there before."""

from __future__ import annotations

import enum
import importlib.util
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = """
from setuptools import setup
from mypyc.build import mypycify

setup(name="places", packages=[], ext_modules=mypycify(["places.py"]))
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Compile the places as `make compiled` compiles the gateway."""
    at = tmp_path_factory.mktemp("compiled")
    (at / "places.py").write_text((HERE / "places.py").read_text())
    flags = f"{(ROOT / 'compiled/flags').read_text().strip()} -include {ROOT}/compiled/prelude.h"
    built = subprocess.run(
        [sys.executable, "-c", BUILD, "build_ext", "--inplace"],
        cwd=at,
        env={**os.environ, "CFLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (library,) = at.glob("places.*.so")
    spec = importlib.util.spec_from_file_location("places", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.read, types.BuiltinFunctionType)
    return module


class Model(msgspec.Struct):
    """Slots, as msgspec makes them."""

    value: object
    other: int = 0


class Frozen(msgspec.Struct, frozen=True, gc=False):
    """The same, elsewhere in the object."""

    other: int
    value: object


class Plain:
    """Without slots."""

    def __init__(self, value: object) -> None:
        self.value = value


class Computed:
    """What is no attribute but a function."""

    @property
    def value(self) -> object:
        """Return something new each time."""
        return [self]


class Asked:
    """Whose attributes are made when they are asked for."""

    def __getattr__(self, name: str) -> object:
        return f"{name} was asked for"


class Colour(enum.Enum):
    """Classes whose type has another way to look names up."""

    RED = "red"


class Shared:
    """A class that is asked itself."""

    value: object = "of the class"


def test_all_kinds_are_read_at_the_same_place_in_any_order(places: Any) -> None:
    things: list[tuple[Any, object]] = [
        (Model("model"), "model"),
        (Model("another"), "another"),
        (Frozen(1, "frozen"), "frozen"),
        (Plain("plain"), "plain"),
        (Asked(), "value was asked for"),
        (places.Native("native"), "native"),
        (Shared, "of the class"),
        (Shared(), "of the class"),
        (Colour.RED, "red"),
        (types.SimpleNamespace(value="space"), "space"),
    ]
    module = types.ModuleType("module")
    module.value = "module"  # type: ignore[attr-defined]  # that is what is read
    things.append((module, "module"))
    for first, value in things:
        for second, another in things:
            for _ in range(3):
                assert places.read(first) == value
            assert places.read(second) == another
            assert places.read(first) == value


def test_a_compiled_class_is_read_through_its_protocol(places: Any) -> None:
    first, second = places.Native(1), places.Native(2)
    assert [places.read_known(each) for each in (first, second, first)] == [1, 2, 1]
    second.value = 3
    assert [places.read_known(each) for each in (first, second, Plain(4))] == [1, 3, 4]


def test_a_property_is_called_each_time(places: Any) -> None:
    it = Computed()
    read = [places.read(it) for _ in range(3)]
    assert read == [[it], [it], [it]]
    assert read[0] is not read[1]


def test_what_is_not_there_is_an_error_that_names_it(places: Any) -> None:
    class Slotted:
        __slots__ = ("value",)

        value: object

    it = Slotted()
    for _ in range(3):
        with pytest.raises(AttributeError, match="value"):
            places.read(it)
    it.value = 1
    assert places.read(it) == 1
    assert places.read(it) == 1
    del it.value
    with pytest.raises(AttributeError, match="value"):
        places.read(it)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'value'"):
        places.read(1)
    with pytest.raises(AttributeError, match="value"):
        places.read(Colour)


def test_a_class_that_changes_is_read_as_it_is(places: Any) -> None:
    class Base:
        value: object = "base"

    class Changing(Base):
        pass

    assert [places.read(Changing) for _ in range(3)] == ["base"] * 3
    Base.value = "changed"
    assert places.read(Changing) == "changed"
    Changing.value = "its own"
    assert [places.read(Changing) for _ in range(3)] == ["its own"] * 3
    it = Changing()
    assert places.read(it) == "its own"
    Changing.value = property(lambda _self: "computed")
    assert places.read(it) == "computed"
    del Changing.value
    assert places.read(it) == places.read(Changing) == "changed"


def test_a_slot_that_becomes_something_else_is_read_as_that(places: Any) -> None:
    class Slotted:
        __slots__ = ("value",)

    it: Any = Slotted()
    it.value = "slot"
    assert [places.read(it) for _ in range(3)] == ["slot"] * 3
    slot = Slotted.__dict__["value"]
    Slotted.value = property(lambda _self: "computed")  # type: ignore[attr-defined]  # it has
    assert [places.read(it) for _ in range(3)] == ["computed"] * 3
    Slotted.value = slot  # type: ignore[attr-defined]  # as above
    assert [places.read(it) for _ in range(3)] == ["slot"] * 3


def test_what_a_class_binds_is_bound_to_it(places: Any) -> None:
    class Base:
        @classmethod
        def value(cls) -> type:
            return cls

    class Derived(Base):
        pass

    for each in (Base, Derived, Base, Derived, Derived):
        assert places.read(each)() is each


def test_the_type_of_a_class_has_the_first_word(places: Any) -> None:
    class Meta(type):
        pass

    class Ordinary(metaclass=Meta):
        value: object = "its own"

    assert [places.read(Ordinary) for _ in range(3)] == ["its own"] * 3
    Meta.value = property(lambda _class: "of the type")  # type: ignore[attr-defined]  # added
    assert [places.read(Ordinary) for _ in range(3)] == ["of the type"] * 3
    del Meta.value  # type: ignore[attr-defined]  # as above
    assert places.read(Ordinary) == "its own"
    Meta.__getattribute__ = lambda _class, name: f"another {name}"  # type: ignore[method-assign]  # replaced
    assert [places.read(Ordinary) for _ in range(3)] == ["another value"] * 3


def test_a_new_class_at_the_address_of_another_is_not_taken_for_it(places: Any) -> None:
    addresses = set()
    for number in range(2_000):
        names = ("value", "other") if number % 2 else ("first", "second", "value")
        fresh: Callable[[], Any] = type("Fresh", (), {"__slots__": names})
        addresses.add(id(fresh))
        it = fresh()
        for name in names:
            setattr(it, name, name)
        assert places.read(it) == "value"
        assert places.read(it) == "value"
    assert len(addresses) < 2_000


def test_a_place_where_names_differ_reads_the_one_that_is_meant(places: Any) -> None:
    model = Model("a value", 7)
    for number in range(2_000):
        # Made anew each time, and kept by nobody: the next one can have its address.
        read = places.read_named(model, "".join(["va", "lue"] if number % 3 else ["oth", "er"]))
        assert read == ("a value" if number % 3 else 7)
    assert places.read_named(Colour, "RED") is Colour.RED
    assert places.read_named(Colour, "RED") is Colour.RED


class Teller:
    """A class whose objects can have names of their own."""

    def told(self, what: object) -> object:
        """Return who was told what."""
        return ("Teller", what)


class SlottedTeller:
    """One whose objects cannot."""

    __slots__ = ("word",)

    def __init__(self, word: str = "slotted") -> None:
        self.word = word

    def told(self, what: object) -> object:
        """Return who was told what."""
        return (self.word, what)


class Attributes:
    """What is called is an attribute, not a method."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told = lambda what: ("attribute", what)


class Properties:
    """What is called is made each time."""

    __slots__ = ()

    @property
    def told(self) -> Callable[[object], object]:
        """Return something to call."""
        return lambda what: ("property", what)


class Statics:
    """What is called is bound to nothing, or to the class."""

    __slots__ = ()

    @staticmethod
    def told(what: object) -> object:
        """Return who was told what."""
        return ("static", what)


class OfClass:
    """What is called is bound to the class."""

    __slots__ = ()

    @classmethod
    def told(cls, what: object) -> object:
        """Return who was told what."""
        return (cls.__name__, what)


class Asking:
    """Who decides itself what its attributes are."""

    __slots__ = ()

    def told(self, what: object) -> object:
        """Return what nobody gets."""
        return ("its method", what)

    def __getattribute__(self, name: str) -> object:
        return lambda what: (f"asked for {name}", what)


class AskedTeller:
    """Whose methods are made when they are asked for."""

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        return lambda what: (name, what)


def test_all_kinds_of_methods_are_called_at_the_same_place_in_any_order(places: Any) -> None:
    own = Teller()
    own.told = lambda what: ("its own", what)  # type: ignore[method-assign]  # that is what is called
    things: list[tuple[Any, object]] = [
        (Teller(), "Teller"),
        (own, "its own"),
        (SlottedTeller(), "slotted"),
        (SlottedTeller("another"), "another"),
        (Attributes(), "attribute"),
        (Properties(), "property"),
        (Statics(), "static"),
        (Statics, "static"),
        (OfClass(), "OfClass"),
        (OfClass, "OfClass"),
        (Asking(), "asked for told"),
        (AskedTeller(), "told"),
        (places.Native("native"), "native"),
    ]
    for called in (places.call, places.call_with_name):
        for first, word in things:
            for second, other in things:
                for number in range(3):
                    assert called(first, number) == (word, number)
                assert called(second, None) == (other, None)
                assert called(first, None) == (word, None)


def test_a_compiled_method_is_called_through_its_protocol(places: Any) -> None:
    first, second = places.Native(1), places.Native(2)
    called = [places.call_known(each, "x") for each in (first, second, SlottedTeller(), first)]
    assert called == [(1, "x"), (2, "x"), ("slotted", "x"), (1, "x")]


def test_a_method_that_changes_is_called_as_it_is(places: Any) -> None:
    class Base:
        __slots__ = ()

        def told(self, what: object) -> object:
            return ("base", what)

    class Changing(Base):
        __slots__ = ()

    it = Changing()
    assert [places.call(it, 1) for _ in range(3)] == [("base", 1)] * 3
    Base.told = lambda _self, what: ("changed", what)  # type: ignore[method-assign, assignment]  # replaced
    assert [places.call(it, 1) for _ in range(3)] == [("changed", 1)] * 3
    Changing.told = lambda _self, what: ("its own", what)  # type: ignore[method-assign, assignment]  # as above
    assert [places.call(it, 1) for _ in range(3)] == [("its own", 1)] * 3
    del Changing.told
    del Base.told
    for _ in range(3):
        with pytest.raises(AttributeError, match="told"):
            places.call(it, 1)
    Base.told = lambda _self, what: ("again", what)  # type: ignore[method-assign, assignment]  # as above
    assert places.call(it, 1) == ("again", 1)


def test_what_a_method_raises_comes_through(places: Any) -> None:
    class Raising:
        __slots__ = ()

        def told(self, what: object) -> object:
            raise ValueError(what)

    it = Raising()
    for number in range(3):
        with pytest.raises(ValueError, match=str(number)):
            places.call(it, number)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'told'"):
        places.call(1, 1)


def test_a_method_of_a_new_class_at_the_address_of_another_is_its_own(places: Any) -> None:
    addresses = set()
    for number in range(2_000):

        class Fresh:
            __slots__ = ()

            def told(self, _what: object, number: int = number) -> int:
                return number

        addresses.add(id(Fresh))
        it = Fresh()
        assert places.call(it, None) == number
        assert places.call(it, None) == number
    assert len(addresses) < 2_000


def test_what_a_module_has_is_read_as_it_is(places: Any) -> None:
    assert [places.read_shared() for _ in range(3)] == ["shared"] * 3
    places.shared = "changed"
    assert [places.read_shared() for _ in range(3)] == ["changed"] * 3
    places.another = "something else changes"
    assert places.read_shared() == "changed"
    del places.shared
    for _ in range(3):
        with pytest.raises((NameError, KeyError), match="shared"):
            places.read_shared()
    places.shared = "shared"
    assert [places.read_shared() for _ in range(3)] == ["shared"] * 3


def test_a_dictionary_is_read_as_it_is_whatever_the_first_one_was(places: Any) -> None:
    here, names = vars(places), {"shared": "of a dictionary", "other": 1}
    assert places.pick(names, "shared") == "of a dictionary"
    places.other = "another"
    for number in range(2_000):
        # Made anew each time, and kept by nobody: the next one can have its address.
        key = "".join(["sha", "red"] if number % 3 else ["oth", "er"])
        assert places.pick_from_namespace(here, key) == ("shared" if number % 3 else "another")
    for pick in (places.pick, places.pick_from_namespace):
        for number in range(2_000):
            key = "".join(["sha", "red"] if number % 3 else ["oth", "er"])
            assert pick(names, key) == ("of a dictionary" if number % 3 else 1)
            assert pick({key: number}, key) == number
            assert pick(here, key) == ("shared" if number % 3 else "another")
            assert pick(here, "shared") == "shared"
            names["unrelated"] = number
        for mapping in (here, names):
            for _ in range(2):
                with pytest.raises(KeyError, match="missing"):
                    pick(mapping, "missing")
        places.shared = "changed"
        assert pick(here, "shared") == "changed"
        places.shared = "shared"


def test_a_mapping_that_is_no_plain_dictionary_is_asked(places: Any) -> None:
    class Asked(dict[str, object]):
        def __getitem__(self, key: str) -> object:
            return [key]

    like_a_module = Asked(__spec__=1, shared=2)
    for pick in (places.pick_from_likeness, places.pick, places.pick_from_namespace):
        for mapping in (like_a_module, Asked(), like_a_module, vars(places), like_a_module):
            read = [pick(mapping, "shared") for _ in range(3)]
            assert read == [mapping["shared"]] * 3
            assert (read[0] is read[1]) is (mapping is vars(places))
