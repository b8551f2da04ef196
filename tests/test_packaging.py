"""The descriptions of the package for conda, Docker and Zenodo agree with pyproject.toml and CITATION.cff."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import yaml

from chandra_bin.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text())
# Packages of conda-forge without what only some users need.
CONDA_NAMES = {"astropy": "astropy-base", "isal": "python-isal", "matplotlib": "matplotlib-base"}


def requirements(lines):
    """Name and lower limit of each requirement, for any machine, by the names that conda-forge has."""
    found = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)(?:;.*)?", line.replace(" ", "")).groups() for line in lines)
    return {CONDA_NAMES.get(name, name): least for name, least in found.items()}


def test_zenodo_and_citation_agree():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert zenodo["title"] == citation["title"] == PROJECT["project"]["name"]
    assert zenodo["version"] == citation["version"] == PROJECT["project"]["version"]
    assert zenodo["license"] == citation["license"] == PROJECT["project"]["license"]
    assert zenodo["creators"] == citation["authors"] == PROJECT["project"]["authors"]
    assert zenodo["description"] == citation["abstract"] == PROJECT["project"]["description"]
    assert zenodo["keywords"] == citation["keywords"] == PROJECT["project"]["keywords"]
    assert [each["identifier"] for each in zenodo["related_identifiers"]] == [
        each["doi"] for each in citation["references"]]


def test_the_conda_recipe_needs_what_the_project_needs():
    needs, project = RECIPE["requirements"], PROJECT["project"]
    assert RECIPE["package"]["name"] == project["name"]
    assert RECIPE["context"]["version"] == project["version"]
    assert RECIPE["about"]["license"] == project["license"]
    assert RECIPE["about"]["summary"] == project["description"]
    assert requirements(each for each in needs["run"] if each != "python") == requirements(project["dependencies"])
    assert requirements(each for each in needs["host"] if each not in ("python", "pip")) == requirements(
        PROJECT["build-system"]["requires"])
    assert (ROOT / "packaging/conda" / RECIPE["source"]["path"]).resolve() == ROOT


def test_the_commands_of_the_conda_recipe_exist():
    for line in RECIPE["tests"][1]["script"]:
        program, name, *words = shlex.split(line)
        assert program == "chandra-bin"
        if name != "--version":
            command = cli.get_command(click.Context(cli), name)
            assert command.make_context(name, words).params


def test_the_image_is_built_in_two_stages_and_runs_as_a_user():
    lines = (ROOT / "packaging/Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    words = [step for step, _ in steps]
    assert [rest.split()[0] for step, rest in steps if step == "FROM"] == ["python:3.13-slim"] * 2
    assert words.index("USER") < words.index("CMD")
    assert "root" not in dict(steps)["USER"]
    _, program, folder = json.loads(dict(steps)["CMD"])
    copied = {target: source for step, rest in steps if step == "COPY" for *_, source, target in [rest.split()]}
    assert (ROOT / copied[program].removeprefix("/source/")).is_file()
    assert not folder.startswith("/")
