"""A small cluster for the pipeline: two simulated observations, and a configuration whose whole run takes seconds."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys

from astropy.io import fits

from chandra_bin.pipeline.config import write_config
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations

# Pixels of 2": all images are small, and so are the scales.
SMALL = {"engine": "native", "binsize": 4, "scales": [1, 2, 4], "sn": 15, "smooth_sn": 20}
# What differs from run to run, and is no product.
_OWN = (".chandra-bin", "logs", "report")


def simulated(folder, **settings):
    """The archive's folder of a cluster."""
    simulate_observations(folder, SimulationSettings(**{
        "seed": 5, "exposure": 4000.0, "counts": 15_000.0, "truth_photons": 1000,
        "blank_sky": 4.0, **settings}))
    return folder


def as_observed(archive):
    """The same folder, with events whose headers do not state that they are simulated."""
    for path in archive.glob("*/primary/*_evt2.fits.gz"):
        fits.setval(path, "CREATOR", value="cxc - Version DS10.8.3", ext=1)
    return archive


def configured(work, archive, **settings):
    """A folder of the pipeline."""
    obsids = sorted(int(path.name) for path in archive.iterdir() if path.name.isdigit())
    write_config(work, {"name": "small", "cluster_directory": os.path.relpath(archive, work), "obs_ids": obsids,
                        **SMALL, **settings})
    return work


def change_settings(work, **settings):
    """Edits config.json as a user does."""
    file = work / "config.json"
    content = json.loads(file.read_text())
    content["info_dict"].update(settings)
    file.write_text(json.dumps(content))


def change_record(work, task, **values):
    """Edits what the state says of a task, as nobody should."""
    file = work / ".chandra-bin/state.json"
    content = json.loads(file.read_text())
    content["tasks"][task].update(values)
    file.write_text(json.dumps(content))


def products(work):
    """The checksum of every product, and what each link points to."""
    found = {}
    for path in sorted(work.rglob("*")):
        name = path.relative_to(work)
        if name.parts[0] in _OWN:
            continue
        if path.is_symlink():
            found[str(name)] = os.readlink(path)
        elif path.is_file() and name.parts[0] != "config.json":
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@contextlib.contextmanager
def started(*arguments, env=None):
    """``chandra-bin`` as a process of its own, which is gone at the end."""
    code = "import sys; from chandra_bin.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}) as process:
        try:
            yield process
        finally:
            process.kill()
