"""The real Linux kernel as a third place to run and to judge the same bytecode."""
