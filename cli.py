"""The command `graft`: thin commands over the four packages, heavy imports inside the commands."""
