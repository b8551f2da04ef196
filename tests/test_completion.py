"""Shell completion, asked as shells ask: by the script that ``chandra-bin completion`` prints."""

import os
import pty
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from chandra_bin.cli import COMMANDS, run
from files import write_fits
from terminals import read_to_end

PROGRAMS = Path(sysconfig.get_path("scripts"))
# Completes the words in its arguments after the cursor's: what readline does when a user presses TAB.
IN_BASH = """
eval "$(chandra-bin completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
complete -p chandra-bin >/dev/null
compopt() { echo "compopt $1 $2"; }
_chandra_bin_completion chandra-bin
printf '%s\\n' "${COMPREPLY[@]}"
"""


def environment():
    return {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}


def complete(*words, folder=None):
    """What bash offers for the last word of a command line."""
    done = subprocess.run(["bash", "-c", IN_BASH, "bash", "chandra-bin", *words], capture_output=True, text=True,
                          cwd=folder, env=environment(), check=True)
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


def test_commands_complete():
    assert complete("") == list(COMMANDS)
    assert complete("re") == [name for name in COMMANDS if name.startswith("re")]
    assert complete("propose", "s") == ["sources"]


def test_options_complete():
    assert complete("bin", "img.fits", "--smooth") == ["--smooth-sn", "--smoothed"]
    assert complete("bin", "img.fits", "--counts-image-b") == ["--counts-image-background"]


def test_choices_complete():
    assert complete("run", "work", "--engine", "") == ["auto", "native", "ciao"]
    assert complete("completion", "z") == ["zsh"]


def test_bands_complete_after_a_comma():
    assert complete("merge", "a.fits", "--bands", "broad,") == [
        f"broad,{name}" for name in ("broad", "soft", "medium", "hard", "ultrasoft", "csc")]
    assert complete("fluximage", "a.fits", "--bands", "soft,h") == ["soft,hard"]


def test_columns_of_a_table_complete(tmp_path):
    (tmp_path / "t.csv").write_text("bin,kT,kT_low,Z\n0,1,2,3\n")
    assert complete("paint", "--table", str(tmp_path / "t.csv"), "--columns", "Z,k") == ["Z,kT", "Z,kT_low"]
    assert complete("paint", "--table", str(tmp_path / "none.csv"), "--columns", "k") == [""]


def test_numbers_of_bins_complete(tmp_path):
    write_fits(tmp_path / "binmap.fits", np.arange(12, dtype=np.int32).reshape(3, 4))
    (tmp_path / "bad.fits").write_text("not FITS")
    words = ["responses", "evt2.fits", str(tmp_path / "binmap.fits"), "--bins"]
    assert complete(*words, "0,1") == ["0,1", "0,10", "0,11"]
    assert complete("responses", "evt2.fits", str(tmp_path / "bad.fits"), "--bins", "0,") == [""]


@pytest.mark.parametrize("words", [
    ["bin", "im"], ["bin", "img.fits", "--counts-image", "im"], ["bin", "img.fits", "--background-scale", "im"],
    ["fit", "sp"], ["batch", "im"], ["copy", "im"], ["blanksky", "im"], ["add-backgrounds", "im"],
    ["specextract-lists", "im"], ["spectra", "im"], ["run", "wo"], ["propose", "cluster", "im"]])
def test_names_of_files_are_left_to_the_shell(words):
    """The shell then offers the files of the folder."""
    assert complete(*words) == ["compopt -o default", ""]


def test_the_tab_key_in_bash(tmp_path):
    """TAB completes the command, the option and the file, as a user sees it."""
    (tmp_path / "observation_evt2.fits").touch()
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=terminal, stdout=terminal, stderr=terminal,
                          cwd=tmp_path, env={**environment(), "TERM": "dumb", "PS1": "$ "}, start_new_session=True
                          ) as shell:
        os.close(terminal)
        os.write(keyboard, b'eval "$(chandra-bin completion bash)"\n'
                           b"chandra-bin lightc\tobser\t--clob\t-o '' >said 2>&1\nexit\n")
        read_to_end(keyboard)
        shell.wait(timeout=30)
    os.close(keyboard)
    assert (tmp_path / "said").read_text().startswith(
        "chandra-bin lightcurve: error: Invalid value for '-o' / '--out': the name is empty")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_script(shell):
    script = subprocess.run([PROGRAMS / "chandra-bin", "completion", shell], capture_output=True, text=True,
                            check=True).stdout
    assert f"_CHANDRA_BIN_COMPLETE={shell}_complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    asked = {"zsh": "autoload -Uz compinit; compinit -u -D; eval \"$(chandra-bin completion zsh)\"\n"
                    "[[ $_comps[chandra-bin] == _chandra_bin_completion ]] && echo taken",
             "fish": "chandra-bin completion fish | source; complete -C 'chandra-bin run w --engine n'"}[shell]
    done = subprocess.run([shell, "-c", asked], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.split()[0] == {"zsh": "taken", "fish": "native"}[shell]
    assert not done.stderr


def test_an_unknown_shell_is_refused(capsys):
    assert run(["completion", "csh"]) == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err
