"""The command line, `catscans`: parses arguments, calls one function, prints.

In: command-line arguments. Out: text on the terminal, files written by the rooms below.
Each module adds one group of commands; `main` collects them.
"""
