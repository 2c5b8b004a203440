"""What a network says of the noise that a run starts from, remembered. No Streamlit in here.

Every sampler asks that first, whatever its steps, its fresh noise and its rule: a reader who moves
one of those sees the first frame of the new run without waiting for the network.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor

Answer = TypeVar("Answer")
Ask = Callable[[Tensor, Tensor, Tensor | None], Answer]

KEEP = 24  # answers of all networks together: a few numbers per state of 16 pictures each
_lock = threading.Lock()
_known: OrderedDict[Hashable, object] = OrderedDict()


def remembering(who: Hashable, ask: Ask[Answer], T: int) -> Ask[Answer]:
    """A denoiser that looks its answers at t = T up where it has given them before.

    Args:
        who: the network, and whatever else its answer hangs on.
        ask: the denoiser. Its answers are shared by all sessions: nobody may change one.
        T: the last step.
    """

    def told(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Answer:
        if int(t[0]) != T:
            return ask(x_t, t, label)
        asked = x_t.numpy().tobytes() + (b"" if label is None else label.numpy().tobytes())
        key = (who, x_t.shape, label is None, hashlib.blake2b(asked).digest())
        with _lock:
            if key in _known:
                _known.move_to_end(key)
                return _known[key]  # type: ignore[return-value]
        answer = ask(x_t, t, label)
        with _lock:
            _known[key] = answer
            while len(_known) > KEEP:
                _known.popitem(last=False)
        return answer

    return told
