"""File descriptors: one a connection, and some for everything else."""

try:
    import resource
except ImportError:  # a platform without such limits
    resource = None  # type: ignore[assignment]

# What is kept from clients: for connections to the monitoring port; for the log, the event loop and what the
# store has open besides tables; and for tables at least.
MONITORING = 64
OTHERS = 64
TABLES = 128
RESERVED = MONITORING + OTHERS + TABLES
# More tables than this need not be open at a time: they are some 64 MiB each.
MAX_TABLES = 4096
# What RocksDB takes at least.
MIN_TABLES = 20


def descriptors_for(connections: int, tables: int = TABLES) -> int:
    """Have the system allow so many connections as far as it does; returns how many it will bear beside so
    many open tables of the store.

    The soft limit is raised to the hard one. Connections get less than that: a store that cannot open a file
    costs more than a client that is told to go elsewhere.
    """
    if resource is None:
        return connections
    reserved = MONITORING + OTHERS + max(tables, TABLES)
    wanted = connections + reserved
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted + MAX_TABLES:
        return connections
    for limit in (hard, wanted):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue  # macOS calls the hard limit infinite and takes less
        break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    return max(soft - reserved, soft // 2)


def files_for_store(connections: int) -> int:
    """How many tables the store may have open beside so many connections; -1 if the system sets no limit."""
    if resource is None:
        return -1
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return -1
    return max(min(soft - connections - MONITORING - OTHERS, MAX_TABLES), MIN_TABLES)
