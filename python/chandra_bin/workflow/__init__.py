"""What pipelines and batches share: records of what was made of what, the cycle of a task, the runner, and processes.

Imports ``errors`` alone. It does not know what a task computes.
"""
