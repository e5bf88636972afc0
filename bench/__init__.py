"""What the suite costs, as ratios: `make bench` prints a table and writes `reports/bench.json`.

Every number of a table comes from one run. Contenders take turns within each round, so whatever else the machine
does hits all of them, and a ratio is taken within a round.
"""
