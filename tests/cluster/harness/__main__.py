"""Work at random under random faults until the time is over, and print a table. Exit status 1: violations."""

import sys

from tests.cluster.harness.kind import CLUSTER
from tests.fault.harness.__main__ import main

if __name__ == "__main__":
    sys.exit(main(CLUSTER, "cluster-faults"))
