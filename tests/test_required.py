"""Tests without their external programs are skipped, but fail where these were asked for."""

import pytest

from golden_data import SharedFolder
from required import absent


@pytest.mark.parametrize(("asked_for", "outcome"), [
    ("", pytest.skip.Exception), ("ciao", pytest.skip.Exception), ("ciao, ds9", pytest.fail.Exception),
])
def test_absent_programs(monkeypatch, asked_for, outcome):
    monkeypatch.setenv("CHANDRA_BIN_REQUIRE", asked_for)
    with pytest.raises(outcome, match="no ds9 here"):
        absent("ds9", "no ds9 here")


def test_absent_files_of_the_shared_folder(monkeypatch, tmp_path):
    (tmp_path / "there").mkdir()
    assert SharedFolder(tmp_path) / "there" == tmp_path / "there"
    monkeypatch.delenv("CHANDRA_BIN_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"needs real data: no .*image\.fits"):
        SharedFolder(tmp_path) / "there/image.fits"
    monkeypatch.setenv("CHANDRA_BIN_REQUIRE", "shared")
    with pytest.raises(pytest.fail.Exception, match="CHANDRA_BIN_REQUIRE names shared"):
        SharedFolder(tmp_path) / "there/image.fits"
