"""The kernel model's commands, one a file. `cli.py` adds them by name and imports a file when it is needed."""
