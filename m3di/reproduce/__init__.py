"""The paper from one command: every table and figure of Daunhawer et al. (ICLR 2023), and a report with verdicts.

A *result* is a table or a figure of the paper. It needs *members*: a rendered dataset, a training with its probes, a
simulation. Results share members, and each member is done once, in a folder of its own below one folder OUT.
"""
