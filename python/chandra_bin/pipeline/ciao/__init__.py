"""The steps of the pipeline by CIAO: a step is a plan, which is run or printed as a shell script."""
