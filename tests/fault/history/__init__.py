"""What clients of a broker did and saw, and the rules that it must keep.

`client.py` does operations and records them, `history.py` keeps them, `checker.py` finds what contradicts the
contract. A history that was saved to a file can be checked again: `python -m tests.fault.history FILE`.
"""
