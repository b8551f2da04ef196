"""Programs that are run on a terminal."""

import contextlib
import os
import pty
import subprocess


def read_to_end(terminal):
    """What a terminal shows until the program on it has ended."""
    shown = []
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 65536):
            shown.append(part)
    return b"".join(shown).decode()


def run_on_terminal(words, folder):
    """Exit code, standard output, and what the terminal shows of standard error."""
    keyboard, terminal = pty.openpty()
    with subprocess.Popen([str(word) for word in words], stdin=terminal, stdout=subprocess.PIPE, stderr=terminal,
                          cwd=folder, text=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}) as program:
        os.close(terminal)
        shown = read_to_end(keyboard)
        out, _ = program.communicate(timeout=60)
    os.close(keyboard)
    return program.returncode, out, shown
