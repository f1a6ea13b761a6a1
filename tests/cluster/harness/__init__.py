"""Random work under random faults of a cluster: `make cluster-faults SECONDS=600 SEED=1`."""
