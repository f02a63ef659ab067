"""The tests stand in the same rooms as the code that they test."""

from pathlib import Path

import nvframe

_PACKAGE = Path(nvframe.__file__).parent
_TESTS = Path(__file__).parent


def test_each_directory_of_unit_tests_is_a_room_of_the_package():
    tested = {path.parent.relative_to(_TESTS) for path in _TESTS.rglob("test_*.py")}
    assert [str(room) for room in sorted(tested) if not (_PACKAGE / room / "__init__.py").is_file()] == []


def test_each_room_says_what_it_is_about():
    rooms = [path for path in _PACKAGE.rglob("__init__.py") if "skeletons" not in path.parts]
    assert [str(path) for path in rooms if not path.read_text().startswith('"""')] == []
