"""What CIAO's tools print is read right: texts as they are published (tests/ciao_output)."""

from pathlib import Path

import pytest

from chandra_bin.ciao._chatter import error_in, flare_limits, last_lines, left_out, warnings_in

SAID = Path(__file__).parent / "ciao_output"


def lines_of(name):
    return (SAID / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize(("line", "error"), [
    ("# fluximage (05 December 2024): ERROR Unable to find bad-pixel file", "Unable to find bad-pixel file"),
    ("# dmcopy (CIAO 4.17.0): ERROR: File x.fits exists and clobber=no", "File x.fits exists and clobber=no"),
    ("# check_ciao_caldb (01 July 2020): ERROR The latest available CALDB version is 4.12.4",
     "The latest available CALDB version is 4.12.4"),
    ("# dmextract (CIAO 4.17): DM Parse error: unmatched [", "# dmextract (CIAO 4.17): DM Parse error: unmatched ["),
    ("Failed to open virtual file evt[energy=5:7", "Failed to open virtual file evt[energy=5:7"),
    ("Segmentation fault (core dumped)", "Segmentation fault (core dumped)"),
    ("cannot write: No space left on device", "cannot write: No space left on device"),
    ("# wavdetect (CIAO 4.17.0): WARNING: No sources were found", None),
    ("# merge_obs (04 December 2024): WARNING an ERROR of the past is gone", None),
    ("Error of the fit: 0.3 pixels", None),
    ("The ERROR column is COUNT_RATE_ERR", None),
    ("", None)])
def test_errors(line, error):
    assert error_in(line) == error


@pytest.mark.parametrize("name", ["deflare", "merge_obs", "ciaover_4.18", "ciaover_conda_4.13", "ciaover_tar_4.15"])
def test_other_lines_are_not_errors(name):
    assert not [line for line in lines_of(name) if error_in(line)]


def test_an_error_among_other_lines_is_found():
    assert [error for line in lines_of("check_ciao_caldb_4.18") if (error := error_in(line))] == [
        "The latest available CALDB version is 4.12.4"]


def test_warnings_are_reported_once_and_without_keywords():
    lines = lines_of("merge_obs")
    assert warnings_in([*lines, *lines]) == [
        "the exposure of one observation is short",
        "Skipping 3209/repro/acisf03209_repro_evt2.fits as it contains no rows"]
    assert warnings_in(["# dmmerge (CIAO 4.17.0): WARNING: DTCOR omit - values differ ...FAIL..."]) == []


@pytest.mark.parametrize(("printed", "warnings"), [
    (["WARNING - BPIXFILE=a_bpix1.fits not found for a_evt2.fits. The CALDB file is used."],
     ["BPIXFILE=a_bpix1.fits not found for a_evt2.fits. The CALDB file is used."]),
    (["WARNING: no mask file found for a_evt2.fits"], ["no mask file found for a_evt2.fits"]),
    (["Warning no mask file", "Warning: no mask file"], ["no mask file"]),
    (["Ignoring ACIS-I0, as there is no blank sky for it", "Skipping a_evt2.fits as it has no rows",
      "Skipped one observation."],
     ["Ignoring ACIS-I0, as there is no blank sky for it", "Skipping a_evt2.fits as it has no rows",
      "Skipped one observation."]),
    (["", "WARNING: one text", "         that goes on", "", "  and this belongs to nothing"],
     ["one text that goes on"]),
    (["WARNING - DETNAM values differ:", "  ACIS-0123", "  ACIS-7", "Images follow"],
     ["DETNAM values differ: ACIS-0123 ACIS-7"]),
    (["warning: DTCOR has different values, omit - ...FAIL..."], []),
    (["The word Warning is in this line", "Warnings: 0", "We are Ignoring nothing"], [])])
def test_warnings_of_scripts_are_plain_lines(printed, warnings):
    assert warnings_in(printed) == warnings


def test_the_last_lines_hold_the_reason_of_a_script():
    said = ["Running chandra_repro", "", "10%\r20%\rCould not locate a file in: a",
            "# chandra_repro (x): ERROR input error"]
    assert last_lines(said, "input error") == ["Running chandra_repro", "Could not locate a file in: a"]
    assert last_lines(["a", "b", "c", "d", ""], None) == ["b", "c", "d"]
    assert last_lines(["x" * 300], None) == ["x" * 200 + " ..."]
    assert last_lines(["omit - DTCOR values differ ...FAIL..."], None) == []


def test_the_last_lines_name_the_chip_without_a_blank_sky():
    """An error may have several lines: `blanksky` fails for all chips where one has no file in CALDB."""
    printed = ["# blanksky (18 May 2026): ERROR Unable to find an ACIS background file for:",
               "  infile=a_clean_evt.fits", "  CCD_ID=5", ""]
    assert error_in(printed[0]) == "Unable to find an ACIS background file for:"
    assert last_lines(printed, error_in(printed[0])) == ["infile=a_clean_evt.fits", "CCD_ID=5"]


def test_limits_and_exposures_of_deflare():
    assert flare_limits("\n".join(lines_of("deflare"))) == [
        "rates between 0.385978 and 0.555808 counts/s are kept", "exposure of the light curve: 7.86 ks",
        "exposure kept: 6.91 ks"]
    assert flare_limits("something else") == []
    assert flare_limits("(count_rate>1.5e-05 && count_rate<2e-1)") == [
        "rates between 1.5e-05 and 0.2 counts/s are kept"]


def test_observations_that_are_left_out():
    assert left_out("\n".join(lines_of("merge_obs"))) == [
        "Skipping 3209/repro/acisf03209_repro_evt2.fits as it contains no rows"]
    assert left_out("Found 2 observations") == []
