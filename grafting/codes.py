"""Every code of an error about source text, with a short title: what a code stands for, wherever it is raised.

Codes are stable: a code is never given another meaning, and one that is no longer raised is left out for good.
`tests/test_codes.py` holds this table and the code that raises errors to each other.

    G01xx syntax    G02xx names and types    G03xx ranges, absence, layout, size    G04xx compilation, emission
"""

from __future__ import annotations

from typing import Final

TITLES: Final[dict[str, str]] = {
    # --- syntax ------------------------------------------------------------------------------------------------------
    "G0101": "the source is too long",
    "G0102": "the source is not Unicode text",
    "G0103": "the source contains a NUL character",
    "G0104": "too many open brackets",
    "G0105": "a bracket has no partner",
    "G0106": "the file does not begin with `graft NAME`",
    "G0107": "something else is expected here",
    "G0108": "a character or text that means nothing",
    "G0109": "not a number",
    "G0110": "a value is not used",
    "G0111": "comparisons do not chain",
    "G0112": "expressions or blocks are nested too deeply",
    "G0113": "a clause is given twice",
    "G0114": "not a place that can be assigned",
    "G0115": "parentheses around a verdict",
    # --- names and types ---------------------------------------------------------------------------------------------
    "G0201": "no such name",
    "G0202": "declared or given twice",
    "G0203": "no such type, struct or protocol",
    "G0204": "wrong type",
    "G0205": "no such field, variant, property or operation",
    "G0207": "a number does not fit",
    "G0208": "an operator or a use does not apply to this type",
    "G0210": "wrong number of arguments or elements",
    "G0211": "not a constant",
    "G0212": "a constant cannot be computed",
    "G0214": "cannot be assigned",
    "G0215": "a match leaves out a value",
    "G0216": "an empty range in a pattern",
    "G0217": "a pattern that is never reached",
    "G0218": "`break` or `continue` outside of a loop",
    "G0219": "a handler or function can end without its result",
    "G0220": "not what this body returns",
    "G0221": "no verdict of this event",
    "G0222": "a function leads to itself",
    "G0223": "the name of something else",
    "G0224": "not an element of a map",
    "G0225": "a capability cannot be passed on",
    "G0226": "not allowed in this event",
    "G0227": "a reply that is not declared, or is missing",
    "G0228": "a part of the body is sent with options",
    "G0229": "a call has no effect",
    "G0230": "no such event, or wrongly narrowed",
    "G0231": "no such unit of a budget",
    "G0232": "an expectation before any event",
    "G0233": "a graft without a handler",
    # --- ranges, absence, layout, size -------------------------------------------------------------------------------
    "G0301": "an index is not proved to be in range",
    "G0302": "what may be absent has no `else`",
    "G0303": "not a view of a body",
    "G0304": "an `else` for what is never absent",
    "G0305": "implicit padding would be needed",
    "G0306": "too many bytes",
    "G0307": "a part of a body ends before it begins",
    "G0308": "an `else` neither leaves nor gives a value",
    "G0309": "a loop without a bound",
    "G0310": "a view is used when it is no longer valid",
    "G0311": "more than a graft may have",
    "G0312": "an empty or endless declaration",
    "G0313": "not a value here",
    "G0314": "too large with its functions inlined",
    # --- compilation -------------------------------------------------------------------------------------------------
    "G0401": "no such target",
    "G0402": "the locals do not fit a stack frame",
    "G0404": "a send that no helper can do",
}
"""Code -> title, in order."""
