"""Parameters as CIAO's library has them: .par files that PFILES names, copied on first use and written at each run.

Nothing here is safe from other processes, as nothing there is: files are emptied and written line by line, and values
are read back from them, so runs that share a directory take each other's.
"""

import csv
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import VERSION, VERSIONS, ArgumentError, ToolError

# Parameters that came with a release, or were gone after one; those of params.json are of 4.18.
_SINCE = {"specextract": {"parallel": "4.14", "nproc": "4.14", "resp_pos": "4.15"},
          "chandra_repro": {"tg_zo_position": "4.17", "pi_filter": "4.17", "patch_hrc_ssc": "4.17",
                            "tg_orders": "4.18"},
          "blanksky": {"stowedbg": "4.17"}}
_OF_4_13 = {"name": "recreate_tg_mask", "type": "b", "mode": "h", "required": False, "default": False}
_GENERAL = "There was a problem with the command-line parameter settings."


def facts_of(version: str) -> dict[str, Any]:
    """The parameters of all tools in a release."""
    tools: dict[str, Any] = json.loads((Path(__file__).parent / "params.json").read_text())["tools"]
    for tool, since in _SINCE.items():
        tools[tool]["params"] = [fact for fact in tools[tool]["params"]
                                 if VERSIONS.index(since.get(fact["name"], VERSIONS[0])) <= VERSIONS.index(version)]
    if version == "4.13":
        tools["chandra_repro"]["params"].insert(-1, _OF_4_13)
        for fact in tools["blanksky_image"]["params"]:
            if fact["name"] == "clobber":
                fact["default"] = True
    return tools


FACTS = facts_of(VERSION)

_LONGEST_VALUE = 1023
# wavdetect's own tools, which are forgotten with it.
_PARTS = ("wtransform", "wrecon")
_YES, _NO = ("yes", "y", "true", "t", "1", "on"), ("no", "n", "false", "f", "0", "off")
_NAME = re.compile(r"([A-Za-z_][\w-]*)(=|[+-]$)")


def given(tool: str, *arguments: str) -> "Parameters":
    """The parameters of a call as they would be without any parameter file, for calls within a process."""
    defaults = {fact["name"]: _default(fact) for fact in FACTS[tool]["params"]}
    return Parameters(tool, {**defaults, **check_arguments(tool, list(arguments))})


def par_text(facts: dict[str, Any]) -> str:
    """The parameter file of a tool in an installation."""
    lines = []
    for fact in facts["params"]:
        choices = "|".join(fact.get("enum", ())) or fact.get("min", "")
        lines.append(_line(fact, _default(fact), choices, fact.get("max", "")))
    return "".join(lines)


def _line(fact: dict[str, Any], value: str, low: Any, high: Any) -> str:
    return f'{fact["name"]},{fact["type"]},{_mode(fact)},"{value}",{low},{high},"{fact["name"]}"\n'


def _mode(fact: dict[str, Any]) -> str:
    return "a" if fact.get("required") else "h"


def _default(fact: dict[str, Any]) -> str:
    value = fact.get("default")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "INDEF" if fact["type"] in ("i", "r") else ""
    return str(value)


@dataclass
class Parameters:
    """The values of a run."""

    tool: str
    values: dict[str, str]

    def __getitem__(self, name: str) -> Any:
        fact = _fact(self.tool, name)
        return _typed(fact, os.path.expandvars(self.values[name]))


class ParameterFile:
    """The .par file that a run uses: in the user's directory, by PFILES."""

    def __init__(self, tool: str, arguments: list[str]) -> None:
        self.tool = tool
        self.given = check_arguments(tool, arguments)
        user, system = _directories()
        self.path = user[0] / f"{tool}.par"
        if not self.path.exists():
            source = next((folder / self.path.name for folder in [*user[1:], *system]
                           if (folder / self.path.name).exists()), None)
            if source is None:
                raise ToolError(f"could not open parameter file {tool}.par (PFILES={os.environ.get('PFILES')})")
            self._put(source.read_text())
        self._before = self._read()
        self._write({**self._before, **self.given})

    def values(self) -> Parameters:
        """What the file says now, checked: the arguments, unless another run has written there since."""
        found = self._read()
        for fact in FACTS[self.tool]["params"]:
            name = fact["name"]
            if fact.get("required") and name not in self.given:
                found[name] = _ask(name, found[name], found["mode"])
            if found[name].startswith(")"):
                found[name] = found[found[name][1:]]
            check_value(fact, found[name])
        return Parameters(self.tool, found)

    def learn(self) -> None:
        """Leaves the values of prompted parameters; hidden ones are as they were."""
        required = {fact["name"] for fact in FACTS[self.tool]["params"] if fact.get("required")}
        learned = {name: value for name, value in self.given.items() if name in required}
        self._write({**self._before, **learned})

    def _read(self) -> dict[str, str]:
        rows = [row for row in csv.reader(self.path.read_text().splitlines()) if len(row) >= 6]
        found = {row[0]: row[3] for row in rows}
        for fact in FACTS[self.tool]["params"]:
            if fact["name"] not in found:
                raise ToolError(f"parameter file {self.path} is corrupt: parameter {fact['name']!r} not found")
        return found

    def _write(self, values: dict[str, str]) -> None:
        lines = [_line(fact, values[fact["name"]], "|".join(fact.get("enum", ())) or fact.get("min", ""),
                       fact.get("max", "")) for fact in FACTS[self.tool]["params"]]
        self._put("".join(lines))

    def _put(self, text: str) -> None:
        try:
            with self.path.open("wb", buffering=0) as file:
                for line in text.splitlines(keepends=True):
                    file.write(line.encode())
        except OSError as error:
            raise ToolError(f"could not write parameter file {self.path}: {error.strerror}") from None


def punlearn(tools: list[str]) -> None:
    """Removes what tools have learned."""
    user, _ = _directories()
    for tool in tools:
        if tool not in FACTS and tool not in _PARTS:
            raise ToolError(f"could not open parameter file {tool}.par")
        (user[0] / f"{tool}.par").unlink(missing_ok=True)


def set_user_values(tool: str, values: dict[str, str]) -> None:
    """As pset does, in the user's file."""
    file = ParameterFile(tool, ["mode=h"])
    file._write({**file._before, **values})


def value_in_file(tool: str, name: str) -> str:
    """A value of a parameter file that other tools read: the user's, else the installation's."""
    user, system = _directories()
    path = next((folder / f"{tool}.par" for folder in [*user, *system] if (folder / f"{tool}.par").exists()), None)
    if path is None:
        raise ToolError(f"could not open parameter file {tool}.par (PFILES={os.environ.get('PFILES')})")
    found = {row[0]: row[3] for row in csv.reader(path.read_text().splitlines()) if len(row) >= 4}
    if name not in found:
        raise ToolError(f"parameter file {path} is corrupt: parameter {name!r} not found")
    return found[name]


def _directories() -> tuple[list[Path], list[Path]]:
    text = os.environ.get("PFILES") or os.environ.get("UPARM") or ""
    if not text:
        raise ToolError("PFILES is not set: run the CIAO setup script first")
    parts = text.split(";")
    if len(parts) != 2:
        raise ToolError(f"PFILES={text!r} should hold one ';', between the user's and the system's directories")
    user, system = ([Path(each) for each in part.split(":") if each] for part in parts)
    if not user:
        raise ToolError(f"PFILES={text!r} names no directory of the user's")
    return user, system


def _ask(name: str, value: str, mode: str) -> str:
    """The value of a prompted parameter that was not given: the learned one, or the user's answer."""
    if "h" not in mode:
        print(f"{name} ({value}): ", end="", flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise ToolError(f"could not read a value for parameter {name!r}: end of file on standard input")
        value = answer.strip() or value
    if not value:
        raise ToolError(f"required parameter {name!r} has no value")
    return value


def check_arguments(tool: str, arguments: list[str]) -> dict[str, str]:
    """The values of a command line; refuses what CIAO refuses, and abbreviations too, which no driver should send."""
    try:
        return _checked(tool, arguments)
    except ToolError as error:
        raise ArgumentError(str(error)) from None


def as_told(tool: str, error: ArgumentError) -> ToolError:
    """What a user reads of a wrong parameter: of scripts, only that there is one."""
    return ToolError(_GENERAL) if FACTS[tool]["script"] else error


def _checked(tool: str, arguments: list[str]) -> dict[str, str]:
    facts = {fact["name"]: fact for fact in FACTS[tool]["params"]}
    prompted = [fact["name"] for fact in facts.values() if fact.get("required")]
    found: dict[str, str] = {}
    bare = 0
    for argument in arguments:
        match = _NAME.match(argument)
        if match is None:
            if bare >= len(prompted):
                raise ToolError(f"too many positional arguments: {argument!r}")
            name, value = prompted[bare], argument
            bare += 1
        else:
            name = _full_name(match[1], list(facts))
            value = argument[match.end():] if match[2] == "=" else "yes" if match[2] == "+" else "no"
        found[name] = _full_choice(facts[name], value)
        check_value(facts[name], found[name])
    return found


def _prefixes_allowed() -> bool:
    return os.environ.get("STAND_IN_PREFIXES") == "1"


def _full_name(word: str, names: list[str]) -> str:
    if word in names:
        return word
    like = [name for name in names if name.startswith(word)]
    if len(like) == 1 and _prefixes_allowed():
        return like[0]
    if not like:
        raise ToolError(f"unknown parameter {word!r}")
    raise ToolError(f"parameter {word!r} is abbreviated: {', '.join(like)}; these stand-ins want full names "
                    "(STAND_IN_PREFIXES=1 takes unique prefixes)")


def _full_choice(fact: dict[str, Any], value: str) -> str:
    choices = fact.get("enum", [])
    like = [choice for choice in choices if choice.startswith(value)]
    if value and value not in choices and len(like) == 1 and _prefixes_allowed():
        return str(like[0])
    return value


def check_value(fact: dict[str, Any], value: str) -> None:
    """Raises `ToolError` for what a parameter cannot be."""
    name = fact["name"]
    if len(value) > _LONGEST_VALUE:
        raise ToolError(f"the value of {name!r} has {len(value)} characters; {_LONGEST_VALUE} at most are read")
    if value.startswith(")") or '"' in value:
        if '"' in value:
            raise ToolError(f"the value of {name!r} holds a quotation mark: {value!r}")
        return
    if fact.get("enum") and value not in fact["enum"]:
        raise ToolError(f"{value!r} is not a valid choice for parameter {name!r}: {'|'.join(fact['enum'])}")
    typed = _typed(fact, value)
    if typed is None or fact["type"] not in ("i", "r"):
        return
    low, high = fact.get("min"), fact.get("max")
    if (low is not None and typed < float(low)) or (high is not None and typed > float(high)):
        raise ToolError(f"the value {value} of parameter {name!r} is out of range, {low} to {high}")


def _typed(fact: dict[str, Any], value: str) -> Any:
    kind, name = fact["type"], fact["name"]
    if kind == "b":
        if value.lower() not in (*_YES, *_NO):
            raise ToolError(f"{value!r} is no boolean value for parameter {name!r}")
        return value.lower() in _YES
    if kind in ("i", "r"):
        if value in ("", "INDEF"):
            return None
        try:
            return int(value) if kind == "i" else float(value)
        except ValueError:
            raise ToolError(f"{value!r} is no {'integer' if kind == 'i' else 'number'} for parameter "
                            f"{name!r}") from None
    return value


def _fact(tool: str, name: str) -> dict[str, Any]:
    return next(fact for fact in FACTS[tool]["params"] if fact["name"] == name)
