"""Do similarity measures predict transfer? Measures of every source, their associations with AUCs, rules to beat.

In: image stores, networks of the sources, AUCs. Out: tables of measures and of how well they order the sources.
No network is trained.
"""
