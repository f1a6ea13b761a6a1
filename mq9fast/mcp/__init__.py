"""Mailboxes as tools for language models: a server of the Model Context Protocol, in a process of its own.

`mq9fast mcp` starts it. It uses the official SDK, and talks to the broker with the client only.
"""
