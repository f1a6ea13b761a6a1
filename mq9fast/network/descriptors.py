"""The process's limit of file descriptors, and how many of them clients, monitoring and the store may use.

`server/process.py`, `server/reload.py` and `server/embedded.py` call it. It changes the process's soft limit,
and nothing else.
"""

import resource

# Descriptors that clients do not get: for the monitoring port, for the log, the event loop and the store's
# files other than tables, and for at least this many tables.
MONITORING_CONNECTIONS = 64
OTHER_FILES = 64
MIN_RESERVED_TABLES = 128
# The store needs no more open tables than this: a table has about 64 MiB.
MAX_TABLES = 4096
# RocksDB's own minimum.
MIN_TABLES = 20


def raise_descriptor_limit(connections: int, tables: int = MIN_RESERVED_TABLES) -> int:
    """Raise the soft limit to the hard one if `connections` and `tables` need it.

    Returns how many connections the limit allows, at most `connections`. If it is too low, connections get
    less and the store does not: a store that cannot open a file is worse than a refused client.
    """
    wanted = connections + _reserved(tables)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted + MAX_TABLES:
        return connections
    for limit in (hard, wanted):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue  # macOS says that the hard limit is infinite, and accepts less
        break
    return allowed_connections(connections, tables)


def allowed_connections(connections: int, tables: int = MIN_RESERVED_TABLES) -> int:
    """How many connections the soft limit allows as it is, at most `connections`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserved = _reserved(tables)
    if soft == resource.RLIM_INFINITY or soft >= connections + reserved:
        return connections
    return max(soft - reserved, soft // 2)


def _reserved(tables: int) -> int:
    return MONITORING_CONNECTIONS + OTHER_FILES + max(tables, MIN_RESERVED_TABLES)


def max_open_tables(connections: int) -> int:
    """How many tables the store may have open beside this many connections; -1 if there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return -1
    return max(min(soft - connections - MONITORING_CONNECTIONS - OTHER_FILES, MAX_TABLES), MIN_TABLES)
