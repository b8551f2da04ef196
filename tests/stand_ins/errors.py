"""What a tool says when it stops."""

import os

VERSIONS = ("4.13", "4.14", "4.15", "4.17", "4.18")
# The release whose parameters and habits a process has.
VERSION = os.environ.get("STAND_IN_CIAO", "4.17")
CIAO = f"CIAO {VERSION}"
SCRIPTS_OF = "04 December 2024"


class ToolError(Exception):
    """The tool stops with this text and an exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class ArgumentError(ToolError):
    """A parameter that the tool does not take. Scripts do not tell which."""


def is_since(version: str) -> bool:
    """Whether the release of this process is that version or a later one."""
    return VERSIONS.index(VERSION) >= VERSIONS.index(version)


def error_line(tool: str, text: str, *, script: bool) -> str:
    """``# tool (date): ERROR text`` of a script, ``# tool (CIAO 4.x): ERROR text`` of a compiled tool."""
    return f"# {tool} ({SCRIPTS_OF if script else CIAO}): ERROR {text}"
