"""What is measured is what is claimed: tried on every testbed before anything is measured.

- Where there are policies, the port that one of them admits answers and the other does not; where
  there are none, both do.
- Where the policies are a list, the counters of one connection's rules say that each policy was
  tried once and that the last one accepted.
"""

from __future__ import annotations

from romana.bench.errors import BenchError
from romana.bench.testbed import Testbed
from romana.bench.workload import ADDRESSES, CLOSED_PORT, PORT, SERVER

ANSWER_S = 30.0
SILENCE_S = 0.3


def prove(testbed: Testbed) -> None:
    """Try a testbed.

    Raises:
        BenchError: it does not enforce what it should, or not the way it should.
        LabError: its counters cannot be read.
    """
    loaded = testbed.loaded if testbed.plane.is_list and testbed.policies else None
    before = loaded.hits() if loaded else ()
    if not _answers(testbed, PORT, ANSWER_S):
        raise BenchError(f"{testbed.title}: the server does not answer on port {PORT}")
    if loaded:
        met = tuple(now - then for now, then in zip(loaded.hits(), before, strict=True))
        if met != (1,) * (testbed.policies + 1):
            wrong = sum(each != 1 for each in met)
            raise BenchError(
                f"{testbed.title}: by the counters, {wrong} of {len(met)} rules were not met once "
                "by one connection: the policy that accepts is not reached last"
            )
    closed = testbed.plane.counted and testbed.policies > 0
    if _answers(testbed, CLOSED_PORT, SILENCE_S if closed else ANSWER_S) is closed:
        state = "admitted" if closed else "denied"
        raise BenchError(f"{testbed.title}: port {CLOSED_PORT} is {state}, and should not be")


def _answers(testbed: Testbed, port: int, limit_s: float) -> bool:
    try:
        testbed.client.connect(ADDRESSES[SERVER], port, timeout_s=limit_s).close()
    except TimeoutError:
        return False
    except OSError as error:
        reason = f"port {port} of the server cannot be reached: {error.strerror}"
        raise BenchError(f"{testbed.title}: {reason}") from error
    return True
