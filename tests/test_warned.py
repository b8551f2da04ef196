"""Warnings that several observations share are one line."""

import shutil

import pytest

from chandra_bin.pipeline import runner
from chandra_bin.pipeline.warned import join_warnings
from chandra_bin.report import write_report
from chandra_bin.report.collect import Folder, all_warnings
from chandra_bin.workflow.records import State
from pipeline_work import as_observed, configured


def test_warnings_of_one_text_are_joined():
    assert join_warnings([
        ("reprocess/1", "not reprocessed"), ("reprocess/1", "msk not found"), ("reprocess/22", "not reprocessed"),
        ("images/22", "noise"), ("merge", "no blank sky"), ("reprocess/3", "not reprocessed"),
        ("merge", "no blank sky")]) == [
        ("reprocess", "ObsIDs 1, 22, 3: not reprocessed"), ("reprocess/1", "ObsID 1: msk not found"),
        ("images/22", "ObsID 22: noise"), ("merge", "no blank sky")]
    assert join_warnings([]) == []


def test_texts_that_mention_an_obsid_stay():
    texts = [("look", "ObsIDs 1 and 2 point 3' apart"), ("", "ObsID 1: odd"), ("merge", "ObsID 1: odd too")]
    assert join_warnings(texts) == texts
    assert join_warnings([("clean/1", "ObsID 2: odd"), ("clean/3", "ObsID 2: odd")]) == [
        ("clean", "ObsIDs 1, 3: ObsID 2: odd")]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.full)])
def test_a_run_and_its_report_warn_once_for_all_observations(simulated, tmp_path, jobs):
    archive = as_observed(shutil.copytree(simulated, tmp_path / "sim"))
    work = configured(tmp_path / "work", archive)
    warned = []
    runner.run(work, last=2, jobs=jobs, watch=lambda event: warned.append(event) if event.kind == "warning" else None)
    texts = [event.text for event in warned]
    assert texts == ["ObsIDs 90001, 90002: not reprocessed: the calibration is that of the archive"]
    (log,) = work.glob("logs/*.log")
    assert log.read_text().count("not reprocessed") == 1
    assert [text for _, text in all_warnings(Folder.read(work))] == texts


def test_simulated_events_that_are_not_reprocessed_are_a_note(simulated, tmp_path):
    """The user can calibrate them no better."""
    work = configured(tmp_path / "work", simulated)
    warned = []
    runner.run(work, last=2, watch=lambda event: warned.append(event.text) if event.kind == "warning" else None)
    assert warned == []
    note = "not reprocessed: simulated events are used as they were made"
    assert State(work).records["reprocess/90001"].facts["calibration"] == note
    (log,) = work.glob("logs/*.log")
    assert log.read_text().count(note) == 2
    assert write_report(work).read_text().count(note) == 2


def test_warnings_of_what_was_done_before_a_failure_are_reported(simulated, tmp_path):
    archive = as_observed(shutil.copytree(simulated, tmp_path / "sim"))
    work = configured(tmp_path / "work", archive)
    (archive / "90002/primary/pcadf90002_000N001_asol1.fits").write_bytes(b"SIMPLE")
    warned = []
    with pytest.raises(runner.InputError):
        runner.run(work, last=2, watch=lambda event: warned.append(event.text) if event.kind == "warning" else None)
    assert warned == ["ObsID 90001: not reprocessed: the calibration is that of the archive"]
