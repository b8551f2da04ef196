"""Run CIAO's tools. Only this package starts other programs."""

from . import tools
from ._command import (
    Command,
    File,
    Files,
    Filter,
    Name,
    Part,
    Places,
    Temporary,
    Value,
    checked_path,
    is_plain_path,
    parts_of,
)
from ._installation import (
    OLDEST,
    READ,
    Installation,
    caldb_version,
    find_installation,
    need_installation,
    parse_versions,
)
from ._runner import Runner, ToolRun

__all__ = ["OLDEST", "READ", "Command", "File", "Files", "Filter", "Installation", "Name", "Part", "Places", "Runner",
           "Temporary", "ToolRun", "Value", "caldb_version", "checked_path", "find_installation", "is_plain_path",
           "need_installation", "parse_versions", "parts_of", "tools"]
