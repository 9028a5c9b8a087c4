"""
Runs that were made by hand with xtuner, taken into the comparison.

Covers the work folders of xtuner 0.1.x and 0.2.0: plain and DeepSpeed checkpoints, answers in files and
in the log, resumed runs. Everything in such a folder is somebody else's: texts are read as texts, configs
by `ast` alone, checkpoints not at all. Does not cover XTuner 1.0, which has another layout.
"""
