"""Whatever becomes of calls, their slots come back: deadlines on the way, callers that leave, calls that are too large."""

import random
import threading
import time
from pathlib import Path

from encoders.serving.providers import SessionOptions
from encoders.serving.session import EmbeddingSession
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Overloaded, ServiceError
from rpc.priority import Priority
from services.encoder.batchers import Batchers
from services.encoder.call import ModelCall
from services.encoder.fronts.listener import FrontListener, listening_socket
from services.encoder.fronts.remote_models import RemoteModels
from tests.services.encoder.test_batcher import shade
from tests.support.bundles import tiny_image_bundle
from tests.support.processes import eventually

CALLERS = 8
SLOTS = 16
FOR_S = 3.0
_ENDS = {"answered", "DeadlineExceeded", "Cancelled", "Overloaded"}


def test_slots_come_back_however_calls_end(tmp_path: Path) -> None:
    """Callers of both lanes with deadlines of microseconds to milliseconds, of which some leave, for three seconds."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), SessionOptions(provider="cpu", threads=1, max_batch=4))
    session.warm_up()
    until_s = time.monotonic() + FOR_S
    ends: list[str] = []
    with Batchers([session], queue_limit=SLOTS) as batchers, listening_socket() as listening:
        FrontListener(listening, batchers.queues, slots_per_lane=SLOTS).start()
        with RemoteModels(bytes(listening.getsockname()), {"tiny": session.bundle}, queue_limit=SLOTS) as front:

            def caller(seed: int) -> None:
                chance = random.Random(seed)
                while time.monotonic() < until_s:
                    ends.append(_call(front, chance))

            threads = [threading.Thread(target=caller, args=(seed,)) for seed in range(CALLERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            connection = front.connection
            assert connection is not None
            eventually(lambda: all(connection.free("tiny", lane) == SLOTS for lane in Priority))
    assert {"answered", "DeadlineExceeded", "Cancelled"} <= set(ends) <= _ENDS


def _call(front: RemoteModels, chance: random.Random) -> str:
    """One call of random size, deadline and lane; how it ended."""
    count, within_s = chance.choice((1, 3, 8, 40)), 10 ** chance.uniform(-5, -0.5)
    call: ModelCall[object] = ModelCall(count, Deadline.after(within_s), chance.choice(list(Priority)))
    leaving = threading.Timer(10 ** chance.uniform(-5, -2), call.cancel)
    if chance.random() < 0.3:
        leaving.start()
    queue = front.queues["tiny"]
    try:
        with queue.admitted(call):
            queue.put(call, 0, *map(shade, range(count)))
            call.outcomes()
    except (Cancelled, DeadlineExceeded, Overloaded) as error:
        return type(error).__name__
    except ServiceError as error:
        return f"{error}"
    finally:
        leaving.cancel()
    return "answered"
