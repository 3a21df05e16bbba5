"""Bytecode as text, in the syntax of LLVM's BPF back end: `assembler` and `disassembler` turn each other's output back
into itself; `listing` is for people."""
