"""
Datasets: saved sets of rows, each version named by the hash of what it holds.

A file that somebody uploads is read in a child process with limits of its own, turned into
xtuner's native rows, and kept for as long as anything names it. Nothing here is loaded by
importing the package: the child must start fast and see no settings.
"""
