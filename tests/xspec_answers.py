"""Answers of XSPEC's library of models, in a process of its own: ``python xspec_answers.py ASKED.json ANSWERS.npy``.

The library is GPL (PyPI's ``xspectrampoline``): tests call it from here, and the package never does. `answers` is what
tests use. A question has the name of a model (``C_tbabs``, or ``atable`` with a file), the edges of bins in keV, the
parameters in XSPEC's order, and the abundance table.
"""

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Question:
    model: str
    parameters: tuple[float, ...]
    abundances: str = "angr"
    file: str = ""
    """A table model; or the part of the name before ``_coco.fits`` of tables for `C_apec`."""


def answers(questions, edges_kev, folder):
    """Return what XSPEC's models give for each question: an array (questions, bins)."""
    asked, given_back = folder / "asked.json", folder / "answers.npy"
    asked.write_text(json.dumps({"edges": [float(each) for each in edges_kev],
                                 "questions": [asdict(each) for each in questions]}))
    done = subprocess.run([sys.executable, __file__, str(asked), str(given_back)], text=True, capture_output=True,
                          check=False, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return np.load(given_back)


def _set(setting, name):
    status = ctypes.c_int()
    setting(name.encode(), ctypes.byref(status))
    assert status.value == 0, name


def _answer(question, edges, library):
    made, error = np.zeros(edges.size - 1), np.zeros(edges.size - 1)
    _set(library.FPSOLR, question.abundances)
    parameters = np.array(question.parameters)
    if question.model == "atable":
        single = [np.ascontiguousarray(each, np.float32) for each in (edges, parameters, made, error)]
        at = [each.ctypes.data_as(ctypes.c_void_p) for each in single]
        library.tabint(at[0], made.size, at[1], parameters.size, question.file.encode(), 1, b"add", at[2], at[3])
        return single[2].astype(float)
    if question.file:
        library.FPMSTR(b"APECROOT", question.file.encode())
    at = [each.ctypes.data_as(ctypes.c_void_p) for each in (edges, parameters, made, error)]
    getattr(library, question.model)(at[0], made.size, at[1], 1, at[2], at[3], b"")
    return made


def _main(asked, given_back):
    # The library looks for data below $HEADAS; the wheel has none, and apec stops without the folder.
    package = Path(find_spec("xspectrampoline").origin).parent
    headas = Path(given_back).parent / "headas"
    (headas / "spectral" / "modelData").mkdir(parents=True, exist_ok=True)
    for name in ("lib", "spectral/manager"):
        if not (headas / name).exists():
            (headas / name).symlink_to(next(package.glob("LibXSPEC*")) / name)
    os.environ["HEADAS"] = str(headas)
    import xspectrampoline

    library = xspectrampoline.lib_XSFunctions
    library.FNINIT()
    library.FPCHAT(0)
    _set(library.FPXSCT, "vern")
    with open(asked) as file:
        given = json.load(file)
    edges = np.array(given["edges"])
    np.save(given_back, [_answer(Question(**each), edges, library) for each in given["questions"]])


if __name__ == "__main__":
    _main(*sys.argv[1:])
