"""A declaration is a field with its default, and says the rest about itself."""

from __future__ import annotations

import dataclasses

from pool.settings import Declaration, declarations, setting


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Two settings and a field that is none."""

    depth: int = setting(3, "How deep.", unit="metres", minimum=1, maximum=9)
    kind: str = setting("well", "What it is.", choices=("well", "pit"))
    found: bool = False


def test_a_setting_is_a_field_with_its_default() -> None:
    assert Settings() == Settings(depth=3, kind="well", found=False)
    assert Settings(depth=4).depth == 4


def test_what_was_declared_is_found_again_in_order() -> None:
    found = declarations(Settings)
    assert {name: declaration for name, (_, declaration) in found.items()} == {
        "depth": Declaration("How deep.", "metres", 1, 9, ()),
        "kind": Declaration("What it is.", "", None, None, ("well", "pit")),
    }
    assert list(found) == ["depth", "kind"]
    assert [field.default for field, _ in found.values()] == [3, "well"]
