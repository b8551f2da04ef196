"""What a tool says when it stops."""

CIAO = "CIAO 4.17"
SCRIPTS_OF = "04 December 2024"


class ToolError(Exception):
    """The tool stops with this text and an exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def error_line(tool: str, text: str, *, script: bool) -> str:
    """``# tool (date): ERROR text`` of a script, ``# tool (CIAO 4.x): ERROR text`` of a compiled tool."""
    return f"# {tool} ({SCRIPTS_OF if script else CIAO}): ERROR {text}"
