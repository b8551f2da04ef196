"""What pipelines and batches share: records of what was made of what, locks, and processes that may be killed.

Imports ``errors`` alone. It does not know what a task computes.
"""
