"""A sweep from its plan to its last word: which runs, what they will cost, Snakemake at work, what failed, what is kept."""
