"""Random work by real clients, random faults, and a check of the history: `make fault SECONDS=600 SEED=1`."""
