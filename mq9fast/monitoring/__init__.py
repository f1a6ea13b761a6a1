"""The monitoring port: pages over HTTP/1.1 for operators, Prometheus and nats-server's tools.

`routes.py` says which path shows which page, `pages/` has a module for each page, `http.py` and
`http_connection.py` serve them. The pages only read, and only what `stats.py` lists. `server/broker.py`
starts the port, if it is configured.
"""
