"""File descriptors: one a connection, and some for everything else."""

try:
    import resource
except ImportError:  # a platform without such limits
    resource = None  # type: ignore[assignment]

# For the store's files, the monitoring port, the log and the event loop.
RESERVED = 256


def descriptors_for(connections: int) -> int:
    """Have the system allow so many connections as far as it does; returns how many it will bear.

    The soft limit is raised to the hard one. Connections get less than that: a store that cannot open a file
    costs more than a client that is told to go elsewhere.
    """
    if resource is None:
        return connections
    wanted = connections + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
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
    return max(soft - RESERVED, soft // 2)
