"""Simulators that live in a Python environment of their own, driven over pipes.

`environments` makes such an environment and finds it; `simulator.RemoteSimulator` is the simulator
that everybody else sees. `messages`, `host` and `start` run in the foreign interpreter too: they
need NumPy and nothing else, not even the packages of this one.
"""
