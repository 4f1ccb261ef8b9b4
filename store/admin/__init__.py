"""What an operator does to the store: `python -m store.admin COMMAND`; the `lure` command calls it.

A module of this package holds commands that belong together, and lists them in `COMMANDS`.
"""
