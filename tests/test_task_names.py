"""Names of files that functions of `chandra_bin.tasks` take: text and paths alike."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import chandra_bin.tasks
from chandra_bin.errors import InputError

TASKS = {name: task for name in chandra_bin.tasks.__all__
         if inspect.isfunction(task := getattr(chandra_bin.tasks, name))}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = np.random.default_rng(1).poisson(20, (40, 50)).astype(np.int16)
    fits.writeto("counts.fits", counts)
    fits.writeto("exposure.fits", np.full((40, 50), 5.0, np.float32))
    Path("hole.reg").write_text("image\ncircle(10,10,3)\n")


@pytest.mark.parametrize("name", TASKS)
def test_no_task_takes_paths_only(name):
    for parameter in inspect.signature(TASKS[name]).parameters.values():
        kinds = str(parameter.annotation)
        assert "pathlib.Path" not in kinds or "PathLike" in kinds or "str" in kinds, parameter


@pytest.mark.usefixtures("here")
def test_text_and_paths_make_equal_files():
    def products(name):
        return {path.name: path.read_bytes() for path in sorted(Path(name).iterdir()) if path.is_file()}

    for kind, folder in ((str, "text"), (Path, "path")):
        Path(folder).mkdir()
        chandra_bin.tasks.write_mask(kind("counts.fits"), kind(f"{folder}/mask.fits"), exclude=[kind("hole.reg")],
                                     expmap=kind("exposure.fits"))
        chandra_bin.tasks.smooth_tophat(kind("counts.fits"), out=kind(f"{folder}/smooth.fits"),
                                        mask=kind(f"{folder}/mask.fits"), sn=20)
        chandra_bin.tasks.bin_image(kind("counts.fits"), kind(f"{folder}/bins"))
        chandra_bin.tasks.write_outlines(kind(f"{folder}/bins/contbin_binmap.fits"), outdir=kind(f"{folder}/outlines"),
                                         format="ds9", system="image")
        chandra_bin.tasks.paint_table(kind(f"{folder}/bins/contbin_binmap.fits"), kind(f"{folder}/bins/bins.ecsv"),
                                      columns=["counts"], output_dir=kind(folder))
    text, path = (products(name) for name in ("text", "path"))
    assert set(text) == set(path) == {"mask.fits", "smooth.fits", "counts_out.fits"}
    for name, content in text.items():
        assert re.sub(rb"(text|path)/", b"....", content) == re.sub(rb"(text|path)/", b"....", path[name])


@pytest.mark.usefixtures("here")
def test_a_name_of_another_type_is_refused():
    with pytest.raises(InputError, match="binmap is of the type int: give the name of a file"):
        chandra_bin.tasks.write_maps(3, "fit.ecsv", "maps")
    with pytest.raises(InputError, match="exclude is one name: give a list of names"):
        chandra_bin.tasks.write_mask("counts.fits", "mask.fits", exclude="hole.reg")
    assert not Path("mask.fits").exists()
