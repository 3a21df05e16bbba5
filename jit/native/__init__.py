"""Machine code for verified programs.

    proof --facts--> what is known of single instructions --lowering--> LLVM IR --llvm--> code in memory

with `cache` on disk between the last two. `engine` is what is embedded, `entry` how hot code enters it, `batches` and
`wrappers` run it over arrays. `text`, `arithmetic`, `windows`, `helpers` and `map_code` are parts of the lowering.
"""
