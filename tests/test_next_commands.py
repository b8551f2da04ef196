"""What is suggested at the end of a command: commands that exist, with options that they take."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

import chandra_bin.cli
from chandra_bin.cli import cli, run
from chandra_bin.cli._next import NEXT
from event_files import random_events, write_events
from files import INPUTS

IMAGE = f"{INPUTS}/counts_96x80.fits.gz"
# Words that stand for numbers.
NUMBERS = {"Z": "0.1"}


def parse(words):
    """The command that words call; fails where its parser refuses them."""
    words, command, context = [NUMBERS.get(word, word) for word in words], cli, click.Context(cli)
    while isinstance(command, click.Group):
        command, *words = command.get_command(context, words[0]), *words[1:]
        assert command is not None
        context = click.Context(command, parent=context)
    return command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("after", NEXT)
def test_suggested_commands_can_be_parsed(after):
    assert cli.get_command(click.Context(cli), after.split()[0]) is not None
    for purpose, words in NEXT[after]:
        assert purpose
        filled = [re.sub(r"\{\w+\}", "product", word) for word in words]
        given = parse(filled).params
        assert "product" in " ".join(map(str, given.values()))


def test_each_suggestion_is_printed_by_a_command():
    asked = {}
    for path in Path(chandra_bin.cli.__file__).parent.glob("_*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.Call) and getattr(each.func, "id", "") == "next_command":
                needed = set(re.findall(r"\{(\w+)\}", str(NEXT[each.args[0].value])))
                assert needed == {keyword.arg for keyword in each.keywords}, path.name
                asked[each.args[0].value] = path.name
    assert set(asked) == set(NEXT)


def suggested(out):
    """The words of the commands that an output suggests."""
    return [shlex.split(line.removeprefix("next: chandra-bin "), comments=True) for line in out.splitlines()
            if line.startswith("next: ")]


def test_suggestions_run_one_after_another(tmp_path, monkeypatch, capsys):
    """From an image to the spectra of its bins, by what each command suggests; the user fills in EVENTS."""
    monkeypatch.chdir(tmp_path)
    write_events(tmp_path / "evt 2.fits", random_events(20_000, spread_px=25))
    words = ["copy", "evt 2.fits[bin x=4036:4156:4,y=4036:4156:4]", "my image.fits"]
    ran = []
    for _ in range(3):
        assert run(words) == 0
        ran.append(words[0])
        out = capsys.readouterr().out
        words = ["evt 2.fits" if word == "EVENTS" else word for word in suggested(out)[0]]
    assert ran == ["copy", "bin", "spectra"]
    assert words[0] == "responses"
    assert Path(words[2]) == Path("bins/contbin_binmap.fits")


def test_the_region_of_a_cluster_is_suggested_with_the_detections(tmp_path, monkeypatch, capsys):
    """As the tutorial: detect, propose cluster, propose sources."""
    monkeypatch.chdir(tmp_path)
    assert run(["detect", IMAGE, "found.fits"]) == 0
    (words,) = suggested(capsys.readouterr().out)
    assert words == ["propose", "cluster", IMAGE, "--detections", "found.fits", "-o", "cluster.reg"]
    assert run(words) == 0
    (words,) = suggested(capsys.readouterr().out)
    assert words[:4] == ["propose", "sources", "found.fits", IMAGE]


def test_nothing_is_suggested_with_quiet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["bin", IMAGE, "-o", "out", "-q"]) == 0
    assert not capsys.readouterr().out
