"""The command line as a whole: help, versions, quick start, failures that nobody foresaw."""

import os
import platform
import re
import resource
import signal
import subprocess
import sys
import sysconfig
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import chandra_bin
from chandra_bin.cli import ALIASES, COMMANDS, OTHER_PROGRAMS, SECTIONS, run
from files import INPUTS, listing, write_fits

IMAGE = f"{INPUTS}/counts_96x80.fits.gz"
PROGRAM = Path(sysconfig.get_path("scripts")) / "chandra-bin"


@pytest.mark.parametrize("words", [
    [], ["-h"], ["--help"], ["help"], ["help", "bin"], *([name, "--help"] for name in COMMANDS)])
def test_help(words, capsys):
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: chandra-bin")
    assert not err


def test_help_has_each_command_on_a_line_of_its_group(capsys):
    assert run(["--help"]) == 0
    groups = {text.splitlines()[0]: text.splitlines()[1:] for text in capsys.readouterr().out.split("\n\n")}
    for heading, commands in SECTIONS.items():
        shown = [line.split(maxsplit=1) for line in groups[f"{heading}:"]]
        assert shown == [[name, line] for name, (_, line) in commands.items()]


def test_each_command_is_in_one_group():
    names = [name for section in SECTIONS.values() for name in section]
    assert len(names) == len(set(names)) == len(COMMANDS)
    modules = {path.stem for path in Path(chandra_bin.cli.__file__).parent.glob("_*.py")
               if "\ndef command(" in path.read_text()}
    assert {module for module, _ in COMMANDS.values()} == modules
    for name, (module, _) in COMMANDS.items():
        assert import_module(f"chandra_bin.cli.{module}").command.name == name


@pytest.mark.parametrize(("words", "said"), [
    ("bon", "unknown command 'bon'; do you mean bin?"),
    ("zzz", "unknown command 'zzz' (see"),
    ("accumulate_counts img.fits", "unknown command 'accumulate_counts'; do you mean smooth scale?"),
    ("dmcopy", "do you mean copy?"),
    ("propose sorces", "unknown command 'sorces'; do you mean sources?"),
    ("smooth tophatt", "unknown command 'tophatt'; do you mean tophat?"),
    ("--hlp", "unknown option --hlp; do you mean --help?"),
    ("bin img.fits --smothsn 3", "unknown option --smothsn; do you mean --smooth-sn?"),
    ("bin img.fits --no-srub", "unknown option --no-srub; do you mean --no-scrub?"),
    ("contbin img.fits --smooth-sn 3", "unknown option --smooth-sn; do you mean --smoothsn?"),
    ("run work --qqqq", "unknown option --qqqq (see")])
def test_errors_suggest_the_nearest_name(words, said, capsys):
    assert run(words.split()) in (1, 2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("name", "words"), [("accumulate_smooth", "smooth tophat"),
                                             ("exposure_smooth", "smooth exposure")])
def test_programs_of_contbin_can_be_called_by_their_names(name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run([name, IMAGE, "--out=by_alias.fits", "--sn=20", "-q"]) == 0
    assert run([*words.split(), IMAGE, "--out=by_words.fits", "--sn=20", "-q"]) == 0
    np.testing.assert_array_equal(fits.getdata("by_alias.fits"), fits.getdata("by_words.fits"))
    assert run([name, "none.fits"]) == 1
    assert capsys.readouterr().err.startswith(f"chandra-bin {name}: error: none.fits")


def test_every_alias_is_of_a_command_and_not_in_the_help(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, words in ALIASES.items():
        assert name not in shown
        assert run([name, "--help"]) == run([*words.split(), "--help"]) == 0


def test_programs_of_others_have_commands_that_exist():
    for words in OTHER_PROGRAMS.values():
        assert run([*words.split(), "--help"]) == 0


@pytest.mark.parametrize("words", [["-V"], ["--version"], ["contbin", "-V"], ["make-region-files", "--version"],
                                   ["smooth", "tophat", "-V"]])
def test_version(words, capsys):
    assert run(words) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"chandra-bin {chandra_bin.__version__}"
    assert f"Python {platform.python_version()}, numpy {np.__version__}" in others


def test_version_has_the_commit_and_the_calibration_database(tmp_path, capsys, monkeypatch):
    (tmp_path / "commit.txt").write_text("0123456789ab+changes\n")
    folder = tmp_path / "caldb/docs/chandra/caldb_version"
    folder.mkdir(parents=True)
    fits.BinTableHDU.from_columns([fits.Column("CALDB_VER", "8A", array=["4.9.8", "4.11.5"])]).writeto(
        folder / "caldb_version.fits")
    monkeypatch.setattr("chandra_bin.cli._version.files", lambda _: tmp_path)
    monkeypatch.setenv("CALDB", str(tmp_path / "caldb"))
    assert run(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "commit 0123456789ab+changes"
    assert lines[-1] == f"CALDB 4.11.5 ({tmp_path / 'caldb'})"
    monkeypatch.setenv("CALDB", str(tmp_path / "nowhere"))
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.endswith(f"CALDB of unknown version ({tmp_path / 'nowhere'})\n")


@pytest.mark.parametrize("name", ["smooth", "propose"])
def test_a_group_without_a_command_is_one_line(name, capsys):
    assert run([name]) == (1 if name == "smooth" else 2)
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"chandra-bin {name}: error: Missing command. (see chandra-bin {name} --help)")


@pytest.mark.parametrize(("words", "said"), [(["bon"], "unknown command 'bon'"), (["--bin"], "--bin")])
def test_unknown_words(words, said, capsys):
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("chandra-bin: error: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["bin", "no\nimage\x1b[2J.fits", "-o", "out"], ["bi\nn\x1b[2J"]])
def test_what_errors_quote_is_printable(words, capsys):
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_commands_multiply_matrices_on_one_thread():
    product = ("import numpy as np; draw = np.random.default_rng(1); "
               "print((draw.random((70, 1000)) @ draw.random((1000, 445))).tobytes().hex())")
    command = f"import sys; from chandra_bin.cli import main\ntry: main()\nexcept SystemExit: pass\n{product}"
    plain = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    said = [subprocess.run([sys.executable, "-c", program, "--version"], env=environment, check=True,
                           capture_output=True, text=True).stdout.splitlines()[-1]
            for program, environment in ((command, plain), (product, plain | {"OPENBLAS_NUM_THREADS": "1"}))]
    assert said[0] == said[1]
    variables = "os.environ['OPENBLAS_NUM_THREADS'], os.environ['MKL_NUM_THREADS']"
    show = command.replace(product, f"import os; print({variables})")
    shown = subprocess.run([sys.executable, "-c", show, "--version"], env=plain, check=True, capture_output=True,
                           text=True)
    assert shown.stdout.splitlines()[-1] == "1 1"


def test_help_loads_nothing_heavy_and_is_quick():
    code = "import sys; from chandra_bin.cli import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "scipy", "astropy", "matplotlib", "regions", "chandra_bin._kernels"}
    assert not heavy & set(done.stderr.split())

    def cpu_seconds():  # elapsed time would be that of a busy machine
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([PROGRAM, "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(5)) < 0.15


def test_an_error_nobody_foresaw_is_one_line_too(capsys, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("chandra_bin.tasks.contbin.bin_as_contbin", fail)
    assert run(["contbin", "a.fits"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("chandra-bin contbin: unexpected error: ZeroDivisionError: division by zero")
    assert err.count("\n") == 1
    monkeypatch.setenv("CHANDRA_BIN_TRACEBACK", "1")
    assert run(["contbin", "a.fits"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [
    ("--counts 0", "counts is 0: it must be"), ("--counts nan", "counts is nan"), ("--sn 0", "sn is 0"),
    ("--scrub-large 2", "scrub_large is 2: it must be a fraction"), ("--scrub-large 0", "scrub_large is 0"),
    ("--scrub-large nan", "scrub_large is nan"), ("--background-systematic 1", "background_systematic is 1"),
    ("--constrain -1", "constrain is -1"), ("--smooth-sn inf", "smooth_sn is inf")])
def test_options_of_bin_are_named_where_they_are_wrong(words, said, capsys, tmp_path):
    write_fits(tmp_path / "img.fits", np.full((9, 9), 9))
    assert run(["bin", f"{tmp_path}/img.fits", "-o", f"{tmp_path}/out", *words.split()]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["--version", "bin --help", "doctor"])
def test_an_output_that_is_full_is_one_line(words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch("chandra-bin.*: error: standard output cannot be written: no space left on device\n",
                        done.stderr)


def test_a_reader_that_goes_away_is_no_error_of_ours():
    command = f"{PROGRAM} contbin --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Usage")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["bin", IMAGE, "-o", ""], ["bin", "", "-o", "out"], ["copy", IMAGE, ""],
                                   ["convert", "a.reg", "", "--image", IMAGE, "-o", "out"], ["init", "", "-o", "w"],
                                   ["blanksky", IMAGE, "--blanksky", IMAGE, "-o", ""],
                                   ["specextract-lists", IMAGE, IMAGE, "--regions", "", "--spectra", "s", "-o", "o"]])
def test_empty_names_are_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert "the name is empty" in capsys.readouterr().err
    assert not listing(tmp_path)


@pytest.mark.parametrize("words", [["bin", 300 * "x", "-o", "out"], ["copy", 300 * "x" + "[energy=1:2]", "out"]])
def test_a_name_that_no_file_can_have_is_bad_input(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert f"{300 * 'x'}: cannot be read: file name too long" in capsys.readouterr().err


@pytest.mark.full
def test_the_next_command_completes_what_a_killed_one_was_replacing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["bin", IMAGE, "-o", "new", "--sn", "30", "-q"]) == 0
    assert run(["bin", IMAGE, "-o", "out", "--sn", "20", "-q"]) == 0
    kill = """
import os, signal, sys
from pathlib import Path
from chandra_bin.cli import run
replace, done = Path.replace, []
def counted(self, target):
    if len(done) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(replace(self, target))
Path.replace = counted
run(sys.argv[1:])
"""
    words = ["bin", IMAGE, "-o", "out", "--sn", "30", "--clobber", "-q"]
    assert subprocess.run([sys.executable, "-c", kill, *words], check=False).returncode == -signal.SIGKILL
    assert any(name.startswith(".chandra-bin-") for name in listing("out"))
    assert run(["regions", "out/contbin_binmap.fits", "-o", "outlines"]) == 0
    assert "an earlier run was killed while it replaced" in capsys.readouterr().err
    assert listing("out") == listing("new")
    assert Path("out/contbin_binmap.fits").read_bytes() == Path("new/contbin_binmap.fits").read_bytes()


def in_locale(encoding, *words, **options):
    """A command in the plain locale, with this encoding of its output."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    return subprocess.run([PROGRAM, *map(os.fsencode, words)], env=environment, capture_output=True, check=False,
                          **options)


MINUS, BYTES = os.fsdecode(b"minus-\xe2\x88\x92"), os.fsdecode(b"bytes-\xff")


@pytest.mark.parametrize(("encoding", "name"), [
    ("latin-1", MINUS), ("utf-8", BYTES),
    *(pytest.param(*each, marks=pytest.mark.full) for each in (
        ("ascii", MINUS), ("ascii", BYTES), ("latin-1", BYTES), ("utf-8", MINUS)))])
def test_names_with_characters_that_the_locale_lacks_are_no_failure(encoding, name, tmp_path):
    write_fits(tmp_path / "image.fits", np.random.default_rng(1).poisson(5, (24, 24)).astype(np.int32))
    done = in_locale(encoding, "bin", "image.fits", "-o", name, "--sn", "10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"next: chandra-bin spectra" in done.stdout
    assert (tmp_path / name / "contbin_binmap.fits").is_file()
    done = in_locale(encoding, "bin", f"{name}.fits", "-o", "other", cwd=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(rb"chandra-bin bin: error: \S+.fits: no such file\n", done.stderr)


@pytest.mark.parametrize("words", [
    ["--help"], ["fluximage", "--help"], ["fit", "--help"], pytest.param(["doctor"], marks=pytest.mark.full)])
def test_plain_locales_have_help_and_findings(words):
    for encoding in ("ascii", "latin-1"):
        done = in_locale(encoding, *words)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout
