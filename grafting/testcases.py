"""The shape of `TestCase.steps`: what an object says about its in-file tests.

Steps are plain JSON, made by the compiler and run by `jit.testing`, which knows nothing of the language. Bytes are
lower-case hex, numbers are ints. In order of a test:

    {"do": "map", "map": NAME, "key": HEX, "value": HEX}             put a value into a map
    {"do": "state", "section": ".bss", "offset": N, "value": HEX}    set a state variable
    {"do": "now", "ns": N}                                           set the clock
    {"do": "event", "handler": NAME, "tag": N, "badge": N, "status": N, "slot": N, "op": N, "body": HEX,
     "line": N}                                                      run one activation
    {"do": "expect", "verdict": N, "verdict_text": TEXT, "line": N,
     "sent": [{"slot": N, "op": N, "tag": N | null, "body": HEX, "text": TEXT}, ..],
     "armed": [[ID, DELAY_NS], ..], "released": [[TAG, STATUS], ..] | null, "answer": {"status": N, "body": HEX} | null}
    {"do": "expect_map", "map": NAME, "key": HEX, "value": HEX | null, "line": N, "text": TEXT}
    {"do": "expect_state", "section": NAME, "offset": N, "value": HEX, "line": N, "text": TEXT}

An `expect` concerns the last event before it; `tag` null matches any, `released` null too; `handler` is null where the
graft has none for the event (the verdict is then 0). `text` is the source of the step, for failure messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Step = Mapping[str, Any]
