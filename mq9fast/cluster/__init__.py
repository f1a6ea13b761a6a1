"""A node of a cluster: the log on JetStream, who is the owner, and the broker that runs on the owner."""
