"""Fuzz targets: functions of bytes that return, or raise what is documented. See README.md."""
