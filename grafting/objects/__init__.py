"""ELF objects -> `Program` (`object_file`) and back (`object_writer`). An object is untrusted: `elf`, `btf`, `btf_ext`
and `metadata` read bytes into values with bounds on everything; `linking` makes self-contained handlers of them."""
