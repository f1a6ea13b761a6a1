"""The client without coroutines: `with mq9fast.connect_sync() as mq9:`. See docs/client.md.

Its objects wrap those of the other client, which runs in an event loop in a thread of its own.
"""
