"""The monitoring port: HTTP in `http.py`, what is behind which path in `monitor.py`, a file for each page."""
