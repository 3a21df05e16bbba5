"""Every limit of the project, with its unit and the reason for its value.

A limit exists so that hostile input costs a bounded amount of time and memory. Changing one here changes it for the
compiler, the verifier, the engines and the kernel model alike.
"""

from typing import Final

# --- source text -----------------------------------------------------------------------------------------------------
SOURCE_BYTES: Final = 256 * 1024  # bytes; a graft is small by intent, and parsing stays well under a second
SOURCE_NESTING: Final = 64  # open brackets; keeps every recursive walk of the tree far from Python's own limit
DIAGNOSTICS_MAX: Final = 20  # errors reported in one run; later ones are mostly consequences of earlier ones

# --- language --------------------------------------------------------------------------------------------------------
STRUCT_LITERAL_BYTES: Final = 256  # written field by field on the stack; larger bodies are forwarded by range
ARRAY_LOCAL_BYTES: Final = 256  # half of the frame: leaves room for spills and one message under construction
EXPANDED_INSTRUCTIONS: Final = 16_384  # functions are always inlined; a doubling chain must not expand for ever
INLINE_COPY_BYTES: Final = 128  # longer copies and fills go through helpers 1008/1009 (explicit stores explode)

# --- bytecode and objects --------------------------------------------------------------------------------------------
OBJECT_BYTES: Final = 16 * 1024 * 1024  # an ELF file read from outside
PROGRAM_SLOTS: Final = 65_536  # 8-byte slots in one handler, local callees included
PROGRAM_MAPS: Final = 64  # per object, global data sections included
PROGRAM_HANDLERS: Final = 64  # per object
CAPABILITY_SLOTS: Final = 32  # declared by one graft
MAP_KEY_BYTES: Final = 64  # copied into the stack frame for every lookup
MAP_VALUE_BYTES: Final = 65_536  # one value; state sections count as one value
MAP_ENTRIES: Final = 1 << 20  # entries of one map
MAP_TOTAL_BYTES: Final = 256 * 1024 * 1024  # all maps of one graft

# --- machine (RFC 9669 and the ABI) ----------------------------------------------------------------------------------
STACK_BYTES: Final = 512  # all frames of one activation together, as in Linux
CALL_DEPTH: Final = 8  # frames, the handler's own included, as in Linux
CONTEXT_BYTES: Final = 96  # the read-only record that r1 points to
BODY_BYTES: Final = 65_536  # longest message body

# --- running ---------------------------------------------------------------------------------------------------------
DEFAULT_FUEL: Final = 10_000_000  # instructions; what fuel=None means: about 20 ms in the fast interpreter
OUTBOX_ENTRIES: Final = 64  # sends of one activation

# --- verifier --------------------------------------------------------------------------------------------------------
VERIFIER_STEPS: Final = 1_000_000  # abstract instructions, summed over paths, as in Linux
VERIFIER_SECONDS: Final = 60.0  # wall time of one verification; the last resort behind the step limit
