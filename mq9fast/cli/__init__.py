"""The commands of the command line, such as `mq9fast dev`.

A broker that serves imports none of this.
"""
