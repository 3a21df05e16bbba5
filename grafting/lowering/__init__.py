"""Typed tree -> LLVM IR as text (`lower`, with `debuginfo`) -> BPF object (`llvm`, or `llvm_worker` in a process of its
own)."""
