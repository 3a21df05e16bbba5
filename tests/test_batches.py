"""A server that keeps a table of answers refuses what is no batch, and serves the next one."""

from __future__ import annotations

import pytest
from kernels import chain_image

from kernel_model import Kernel
from kernel_model.core.pipelines import LITERAL, WHOLE
from kernel_model.core.tables import EINVAL
from kernel_model.hosting import Completion, Script, call

DEPTH = 4


def entry(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


FIRST = entry(0, LITERAL, 0, 8) + bytes(8)
WALK = FIRST + entry(0, 0, 0, 8) + entry(0, 1, 0, 8)
MALFORMED = {
    "nothing": b"",
    "half a head": FIRST[:12],
    "a literal that is cut off": FIRST[:-1],
    "a literal that is longer than the batch": entry(0, LITERAL, 0, 4096) + bytes(8),
    "the longest literal that can be said": entry(0, LITERAL, 0, WHOLE) + bytes(8),
    "a second head that is cut off": WALK[:-20],
    "an answer that is not there yet": FIRST + entry(0, 1, 0, 8),
    "its own answer, at the beginning": entry(0, 0, 0, 8),
    "an answer that nobody could have": FIRST + entry(0, LITERAL - 1, 0, 8),
    "bytes beyond the answer": FIRST + entry(0, 0, 60, 8),
    "an offset beyond the answer": FIRST + entry(0, 0, 4096, 0),
    "all of it, from its middle": FIRST + entry(0, 0, 8, WHOLE),
    "more calls than the table has rows": FIRST * 5,
}


def served(*batches: bytes) -> list[Completion]:
    kernel = Kernel(engine="python", prices={})
    server = kernel.server("server", image=chain_image(DEPTH), block=64)
    kernel.keep_answers(server, 4)
    got: list[Completion] = []

    def program(_kernel: Kernel, _me: object) -> Script:
        for batch in batches:
            done = yield call(server, body=batch)
            assert isinstance(done, Completion)
            got.append(done)

    kernel.process("client", program)
    kernel.run()
    return got


@pytest.mark.parametrize("batch", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_batch_is_refused_and_the_next_one_is_served(batch: bytes) -> None:
    refused, answered = served(batch, WALK)
    assert (refused.status, refused.body) == (-EINVAL, b"")
    assert answered.status == 0
    assert int.from_bytes(answered.body[8:16], "little") == 2


def test_a_failure_in_a_batch_ends_it_with_its_status() -> None:
    absent = entry(0, LITERAL, 0, 8) + (99).to_bytes(8, "little")
    (done,) = served(absent + entry(0, 0, 0, 8))
    assert done.status == -EINVAL
