"""Memory that one resampling after another works in: fresh pages cost as much as the products."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

_MOST_BYTES = 1 << 22  # the brain on a 2 mm grid; what is larger comes fresh and goes again


class _Scratch(threading.local):
    """Three arrays of each thread, which end with it."""

    def __init__(self) -> None:
        self._memory: dict[int, Any] = {}

    def array(self, number: int, shape: Sequence[int], dtype: Any) -> Any:
        """Return array `number`, with any content."""
        import numpy as np

        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size > _MOST_BYTES:
            return np.empty(shape, dtype)
        memory = self._memory.get(number)
        if memory is None or memory.size < size:
            memory = self._memory[number] = np.empty(size, np.uint8)
        return memory[:size].view(dtype).reshape(shape)


scratch = _Scratch()
