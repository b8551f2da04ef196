"""Parts that pipelines and batches share: records of products and their inputs, tasks, the runner, and processes.

Imports ``_checks``, ``errors`` and ``fits`` only. The package does not know what a task computes.
"""
