"""Every limit of the project, with its unit and the reason for its value.

A limit exists so that hostile input costs a bounded amount of time and memory. Changing one here changes it for the
compiler, the verifier, the engines and the kernel model alike.
"""

from typing import Final

# --- source text -----------------------------------------------------------------------------------------------------
SOURCE_BYTES: Final = 256 * 1024  # bytes; small by intent; the densest text of this size parses in a few seconds
SOURCE_NESTING: Final = 64  # open brackets; keeps every recursive walk of the tree far from Python's own limit
TREE_DEPTH: Final = 128  # levels of the syntax tree: chains of operators, `else if` and blocks; see SOURCE_NESTING
DIAGNOSTICS_MAX: Final = 20  # errors reported in one run; later ones are mostly consequences of earlier ones

# --- language --------------------------------------------------------------------------------------------------------
STRUCT_LITERAL_BYTES: Final = 256  # written field by field on the stack; larger bodies are forwarded by range
ARRAY_LOCAL_BYTES: Final = 256  # half of the frame: leaves room for spills and one message under construction
EXPANDED_INSTRUCTIONS: Final = 16_384  # functions are always inlined; a doubling chain must not expand for ever
INLINE_COPY_BYTES: Final = 128  # longer copies and fills go through helpers 1008/1009 (explicit stores explode)
COMPILE_SECONDS: Final = 20.0  # wall time of one compilation in a worker; the largest take LLVM a fifth of a second

# --- bytecode and objects --------------------------------------------------------------------------------------------
OBJECT_BYTES: Final = 16 * 1024 * 1024  # an ELF file read from outside
OBJECT_SECTIONS: Final = 4096  # a handler, its relocations and a little more each; 13 us of reading a section
OBJECT_SYMBOLS: Final = 16_384  # 20 us of reading a symbol: a third of a second in all
OBJECT_RELOCATIONS: Final = 131_072  # two per instruction slot; 4 us each
OBJECT_NAME_BYTES: Final = 1024  # of a section or symbol; clang's own are far shorter
METADATA_BYTES: Final = 4 * 1024 * 1024  # the section `.graft`: source text, its spans and test messages in hex
BTF_BYTES: Final = 4 * 1024 * 1024  # sections `.BTF` and `.BTF.ext`, each
BTF_TYPES: Final = 65_536  # types of one object; Linux's own whole type information has twice as many
ASSEMBLY_CHARACTERS: Final = 4 * 1024 * 1024  # assembly text: the longest program, disassembled, fits with room
PROGRAM_SLOTS: Final = 65_536  # 8-byte slots in one handler, local callees included
OBJECT_SLOTS: Final = 262_144  # of all handlers together, a callee counted in each that calls it; 4 us each
HANDLER_NAMES: Final = 16_384  # named stretches of code of one handler, for messages
VALUE_NAME_CHARACTERS: Final = 255  # of a value's name, and of its type's; longer ones are not recorded
NAMING_STEPS: Final = 50_000  # stretches of lines looked at to place the names of one handler: some tenths of a second
PROGRAM_MAPS: Final = 64  # per object, global data sections included
PROGRAM_HANDLERS: Final = 64  # per object
PROTOCOL_OPS: Final = 1024  # operations of all protocols that one object declares
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
TIMERS_ARMED: Final = 64  # of one graft at once: bounds the search for an id
TRACE_STEPS: Final = 1_000  # of one run that are told, unless more are asked for: what one person reads
TRACE_STEPS_MAX: Final = 1_000_000  # that may be asked for: about 1 KB each while they are kept
TIMER_DELAY_NS: Final = 10**13  # longest delay or deadline, 2.8 hours: clocks of 64 bits of ps end after 106 days

# --- verifier --------------------------------------------------------------------------------------------------------
VERIFIER_STEPS: Final = 1_000_000  # abstract instructions of one handler, summed over paths, as in Linux
VERIFIER_STEPS_EACH: Final = 32  # of those for each of its instructions: about 1 ms an instruction until a no
VERIFIER_STEPS_FREE: Final = 16_000  # for all handlers together, besides: small hostile code is answered in a second
VERIFIER_UNROLL_STEPS: Final = 4_000  # in loops followed round by round; longer ones need a ranking
VERIFIER_NODES: Final = 200_000  # states kept in one walk, at most about 3 KB each
VERIFIER_ROUNDS: Final = 1 << 48  # of one loop; at a nanosecond each more than three days: as good as without end
VERIFIER_SECONDS: Final = 60.0  # wall time of one verification; the last resort behind the limits on steps

# --- search for a witness ---------------------------------------------------------------------------------------------
WITNESS_FUEL: Final = 1_000_000  # instructions of one run that is to show a loop without end: about a second
WITNESS_FUEL_SHORT: Final = 100_000  # of one run where something else is sought
WITNESS_STEPS: Final = 2_000_000  # instructions run in all, a few seconds in plain Python
WITNESS_TRACED: Final = 2_000  # instructions of one run that are followed one by one, 40 us each
WITNESS_TRACED_STEPS: Final = 50_000  # of those in all
WITNESS_RUNS: Final = 2_000  # inputs tried; what is near is found within hundreds
WITNESS_GUESSES: Final = 600  # of those, numbers put in without a question: a dozen parts of the input
WITNESS_QUESTIONS: Final = 400  # asked of a solver; each answer opens one more path
WITNESS_SOLVER_RESOURCES: Final = 2_000_000  # z3's own count for one question: about a second; the same everywhere
WITNESS_SOLVER_MS: Final = 2_000  # wall time of one question, the last resort behind the resource limit
WITNESS_SOLVER_FAILURES: Final = 3  # questions without an answer; then no more are asked
WITNESS_TEST_CHARACTERS: Final = 2_000  # a longer test is not shown: nobody would paste it

RECEIPT_BYTES: Final = 64 * 1024 * 1024  # a proof as JSON, read back: about 1 KB a block, several states each

# --- native code -----------------------------------------------------------------------------------------------------
NATIVE_SLOTS: Final = 65_536  # instructions of one handler once its local functions are expanded where they are called
NATIVE_QUICK: Final = 256  # instructions up to which code without loops is compiled by the short list of passes
NATIVE_LIBRARIES: Final = 256  # in one LLJIT: adding one to a single LLJIT grows from 0.1 to 0.9 ms over 10,000

# --- caches ----------------------------------------------------------------------------------------------------------
CACHE_FREE_BYTES: Final = 64 * 1024 * 1024  # free space below which nothing is cached on disk; entries are about 1 MB
CACHE_OBJECTS: Final = 1000  # compiled objects kept; some tens of KB each
NATIVE_CACHE_BYTES: Final = 256 * 1024 * 1024  # native code kept on disk; some KB a graft
CACHE_DAYS: Final = 30  # days after which an unused cache directory is removed; each edit of hot code leaves one

# --- persistence -----------------------------------------------------------------------------------------------------
SNAPSHOT_BYTES: Final = 1 << 30  # a saved application, maps and images included
SNAPSHOT_THINGS: Final = 1 << 21  # requests, jobs and so on of one application
