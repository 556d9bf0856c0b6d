"""The project's virtual environments, by the standard library alone.

`tools/setup_env.py` makes them and `tools/doctor.py` examines them, before anything is installed.
"""
