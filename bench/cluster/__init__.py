"""`make bench-cluster`: a broker on a replicated log, beside JetStream R3 and RabbitMQ's quorum queues."""
