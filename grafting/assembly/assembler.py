"""Assembler: bytecode from text, in the syntax of LLVM's BPF back end.

    r6 = *(u32 *)(r1 + 4)          # load; s8, s16, s32 sign-extend
    w6 &= 31                       # w registers are 32-bit arithmetic, results zero-extended
    r2 = 0xffffff80 ll             # 64-bit immediate, two slots
    if r6 s> 7 goto done           # signed comparison; labels, or `goto +3` counted in slots from the next one
    lock *(u64 *)(r10 - 8) += r6   # atomic
    r0 = cmpxchg_64(r10 - 8, r0, r6)
    call 1000                      # helper by number; `call name` is a local function
    done: exit

Two things are ours, because objects keep them in relocations: `r1 = map 0 ll` loads the handle of map number 0 and
`r1 = map_value 0 + 8 ll` an address within the only value of map 0.

`grafting.assembly.disassembler` is the other way, and `assemble(disassemble(code)) == code` for all code that
`isa.operations` accepts. One instruction stands on a line, or several with `;` between; `#` and `//` start comments.
Every error has the line and column of the token concerned.
"""

from __future__ import annotations

from dataclasses import replace

from grafting import limits
from grafting.assembly.statement import I16, Draft, instruction, split_labels, statements
from grafting.diagnostics import Diagnostic, GraftError, Source, fail
from grafting.isa import Instruction


def assemble(text: str, *, filename: str = "<assembly>") -> tuple[Instruction, ...]:
    """Return the slots that `text` describes.

    Raises GraftError with one diagnostic per faulty line: G0561 syntax, G0562 unknown or repeated label, G0563 a
    number that does not fit its field, G0564 an instruction that is not supported.
    """
    source = Source(filename, text)
    if len(text) > limits.ASSEMBLY_CHARACTERS:
        raise fail("G0561", f"assembly text of {len(text)} characters, at most {limits.ASSEMBLY_CHARACTERS}")
    labels: dict[str, int] = {}
    drafts: list[tuple[int, Draft]] = []
    errors: list[Diagnostic] = []
    pc = 0
    for tokens in statements(source, errors):
        try:
            found, rest = split_labels(tokens, source)
            for label in found:
                if label.text in labels:
                    raise fail("G0562", f"label `{label.text}` is defined twice", label.span, source=source)
                labels[label.text] = pc
            if rest[0].kind != "end":
                drafts.append((pc, instruction(rest, source)))
                pc += len(drafts[-1][1].slots)
        except GraftError as error:
            errors.extend(error.diagnostics)
    code: list[Instruction] = []
    for at, draft in drafts:
        try:
            code.extend(_resolve(draft, at, labels, source))
        except GraftError as error:
            errors.extend(error.diagnostics)
    if errors:
        errors.sort(key=lambda diagnostic: diagnostic.primary.span)
        raise GraftError(errors[: limits.DIAGNOSTICS_MAX])
    if not code:
        raise fail("G0561", "no instruction in the assembly text", source=source)
    return tuple(code)


def _resolve(draft: Draft, at: int, labels: dict[str, int], source: Source) -> tuple[Instruction, ...]:
    if draft.label is None:
        return draft.slots
    if draft.label.text not in labels:
        raise fail("G0562", f"label `{draft.label.text}` is not defined", draft.label.span, source=source)
    distance = labels[draft.label.text] - at - 1
    if draft.field == "offset":
        if distance not in I16:
            raise fail(
                "G0563",
                f"label `{draft.label.text}` is {distance} slots away, a 16-bit jump reaches 32767",
                draft.label.span,
                source=source,
                helps=("an unconditional `gotol` reaches further",),
            )
        return (replace(draft.slots[0], offset=distance), *draft.slots[1:])
    return (replace(draft.slots[0], imm=distance), *draft.slots[1:])
