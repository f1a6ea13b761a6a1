"""The whole broker beside real peers, in one run on one machine."""
