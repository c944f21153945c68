from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from openai.types.realtime import RealtimeFunctionTool

from callapp.errors import ConfigError
from callapp.tools import CallContext
from callapp.tools.registry import BUILT_IN_NAMES, load_tools

CONTEXT = CallContext("CA1", "operator", {}, "+15005550006", "+819012345678", "incoming")

HOURS = '''\
from callapp.tools import tool


@tool
def opening_hours(day: str) -> str:
    """Tell when the shop is open on a day of the week."""
    return "10:00-19:00"
'''

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def faults_in(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_tools(folder)
    return caught.value.faults


def test_the_built_in_tools_are_there() -> None:
    assert tuple(load_tools()) == BUILT_IN_NAMES
    assert "end_call" in BUILT_IN_NAMES


def test_the_users_files_add_to_the_built_in_tools(write: Write, tmp_path: Path) -> None:
    write("hours.py", HOURS)
    write("notes.txt", "not Python")
    tools = load_tools(tmp_path)
    assert list(tools) == [*BUILT_IN_NAMES, "opening_hours"]
    assert tools["opening_hours"].run('{"day": "Monday"}', CONTEXT) == "10:00-19:00"


def test_every_definition_is_one_that_openai_knows(write: Write, tmp_path: Path) -> None:
    write("hours.py", HOURS)
    for definition in load_tools(tmp_path).definitions():
        known = RealtimeFunctionTool.model_validate(definition)
        assert not known.model_extra
        assert known.to_dict() == definition
        assert known.type == "function"


def test_an_agent_sees_its_own_tools_alone(write: Write, tmp_path: Path) -> None:
    write("hours.py", HOURS)
    tools = load_tools(tmp_path).only(["opening_hours"])
    assert [definition["name"] for definition in tools.definitions()] == ["opening_hours"]
    result = tools.find("end_call").run("{}", CONTEXT)
    assert isinstance(result, str)
    assert "There is no tool 'end_call'" in result


def test_files_may_share_helpers_and_each_others_tools(write: Write, tmp_path: Path) -> None:
    write("_stock.py", "from callapp.tools import tool\n\nHOURS = '9-17'\n")
    write("a.py", "from .hours import opening_hours\nfrom callapp.tools.end_call import end_call\n")
    write(
        "hours.py",
        HOURS.replace('"10:00-19:00"', "_stock.HOURS").replace("\n\n", "\nfrom . import _stock\n", 1),
    )
    tools = load_tools(tmp_path)
    assert list(tools) == [*BUILT_IN_NAMES, "opening_hours"]
    assert tools["opening_hours"].run('{"day": "Monday"}', CONTEXT) == "9-17"


def test_hidden_files_are_not_searched(write: Write, tmp_path: Path) -> None:
    """Editors and systems put them beside the files that one sees."""
    write("hours.py", HOURS)
    write("._hours.py", "\x00\x05\x16")
    (tmp_path / ".#hours.py").symlink_to("me@here.4711")
    assert list(load_tools(tmp_path)) == [*BUILT_IN_NAMES, "opening_hours"]


def test_loading_again_reads_the_files_again(write: Write, tmp_path: Path) -> None:
    path = write("hours.py", HOURS)
    load_tools(tmp_path)
    path.unlink()
    write("closing.py", HOURS.replace("opening", "closing"))
    assert list(load_tools(tmp_path)) == [*BUILT_IN_NAMES, "closing_hours"]


def test_future_annotations_and_wrapped_functions_work(write: Write, tmp_path: Path) -> None:
    write(
        "hours.py",
        "from __future__ import annotations\nimport functools\n"
        + HOURS.replace("@tool\n", "@tool\n@functools.lru_cache\n"),
    )
    assert load_tools(tmp_path)["opening_hours"].run('{"day": "x"}', CONTEXT) == "10:00-19:00"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("syntax.py", "x = 1\ndef f(:\n", "2: SyntaxError: "),
        ("deep.py", "def f():\n    return 1 / 0\n\nf()\n", "2: ZeroDivisionError: division by zero"),
        ("quits.py", "import sys\nsys.exit('no key')\n", "2: SystemExit: no key"),
        ("brackets.py", HOURS.replace("@tool", "@tool()"), "4: TypeError: tool() missing 1 required"),
        (
            "vague.py",
            HOURS.replace("day: str", "day"),
            "4: tool 'opening_hours': parameter 'day' has no type",
        ),
        ("hours.v2.py", HOURS, "1: the file name has two dots"),
        ("latin.py", "x = '\udce9'\n", "1: SyntaxError: "),
    ],
)
def test_what_goes_wrong_in_a_file_is_told_with_its_line(
    name: str, text: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path.resolve() / name
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    (fault,) = faults_in(tmp_path)
    assert fault.startswith(f"{path}:{told}")


def test_an_import_of_a_file_beside_it_says_how(write: Write, tmp_path: Path) -> None:
    write("_stock.py", "")
    write("hours.py", "\nimport _stock\n")
    (fault,) = faults_in(tmp_path)
    assert fault == (
        f"{tmp_path.resolve() / 'hours.py'}:2: ModuleNotFoundError: No module named '_stock'; "
        "expected `from ._stock import ...` for a file beside this one"
    )


def test_the_faults_of_all_files_are_told_together(write: Write, tmp_path: Path) -> None:
    write("a.py", "1 / 0")
    write("b.py", "import nothing_of_this_name")
    write("c.py", HOURS.replace('    """Tell when the shop is open on a day of the week."""\n', ""))
    assert [fault.partition(".py:")[0][-1] for fault in faults_in(tmp_path)] == ["a", "b", "c"]


def test_two_tools_of_one_name_are_a_fault(write: Write, tmp_path: Path) -> None:
    write("a.py", HOURS)
    write("b.py", HOURS)
    folder = tmp_path.resolve()
    (fault,) = faults_in(tmp_path)
    assert fault == (
        f"{folder / 'b.py'}:4: tool 'opening_hours': there is another one of this name at "
        f"{folder / 'a.py'}:4; expected a name of its own"
    )


def test_two_tools_of_one_name_in_one_file_are_a_fault(write: Write, tmp_path: Path) -> None:
    write("a.py", HOURS + HOURS)
    (fault,) = faults_in(tmp_path)
    assert fault.endswith("has another one of this name further up; expected a name of its own")


def test_a_built_in_tool_cannot_be_replaced(write: Write, tmp_path: Path) -> None:
    write("a.py", HOURS.replace("opening_hours", "end_call"))
    (fault,) = faults_in(tmp_path)
    assert "tool 'end_call': there is another one of this name at" in fault


def test_a_folder_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_in(tmp_path / "tools")
    assert fault == f"TOOLS_DIR: '{tmp_path}/tools' is not a folder; expected one with *.py files"


# -- installed modules --------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Put a module where Python finds installed ones."""
    monkeypatch.syspath_prepend(tmp_path)

    def install_module(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return path

    return install_module


def test_an_installed_modules_tools_add_to_the_built_in_ones(install: Write) -> None:
    install("callapp_test_hours", HOURS)
    tools = load_tools(modules=["callapp_test_hours"])
    assert list(tools) == [*BUILT_IN_NAMES, "opening_hours"]
    assert tools["opening_hours"].run('{"day": "Monday"}', CONTEXT) == "10:00-19:00"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "import no_such_package",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("raise SystemExit(1)", "cannot be imported: SystemExit: 1"),
        ("hours = 7", "has no tools; expected functions with @tool at its top level"),
    ],
)
def test_a_module_that_brings_no_tools_is_a_fault(install: Write, text: str, told: str) -> None:
    install("callapp_test_wrong", text)
    with pytest.raises(ConfigError) as caught:
        load_tools(modules=["callapp_test_wrong"])
    assert caught.value.faults == (f"TOOLS_MODULES: callapp_test_wrong {told}",)


def test_a_module_that_is_not_installed_is_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        load_tools(modules=["no_such.module"])
    assert caught.value.faults[0].startswith(
        "TOOLS_MODULES: no_such.module cannot be imported: ModuleNotFound"
    )


@pytest.mark.parametrize("module", ["callapp.tools", "callapp.tools.registry", "callapp.tools.pool"])
def test_the_modules_can_be_imported_first(module: str) -> None:
    """As a user's own test of a tool does: no cycle waits there."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, timeout=30)
