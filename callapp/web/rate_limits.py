"""How often calls may be asked for, by one API key and for one callee, and the key be guessed at.

Counted in this process.
"""

from __future__ import annotations

import math
import threading
import time

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

SIGN_INS_PER_PEER = "10/minute"


class RateLimits:
    """All limits. Thread-safe.

    Args:
        per_key: e.g. ``60/minute``, or several limits separated by ``;``.
        per_callee: the same for one callee.
    """

    def __init__(self, per_key: str, per_callee: str) -> None:
        self._per_key = parse_many(per_key)
        self._per_callee = parse_many(per_callee)
        self._per_peer = parse_many(SIGN_INS_PER_PEER)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._lock = threading.Lock()

    def count_key(self, api_user: str) -> int | None:
        """Count a request of an API user; seconds to wait if it is one too many, else ``None``."""
        return self._count(self._per_key, "key", api_user)

    def count_callee(self, number: str) -> int | None:
        """Count a request for a callee; seconds to wait if it is one too many, else ``None``."""
        return self._count(self._per_callee, "callee", number)

    def count_sign_in(self, peer: str) -> int | None:
        """Count an attempt to sign in; seconds to wait if its address makes one too many, else ``None``."""
        return self._count(self._per_peer, "sign-in", peer)

    def _count(self, limits: list[RateLimitItem], kind: str, who: str) -> int | None:
        # A request that is refused is not counted, so that who waits as told gets through.
        with self._lock:
            exceeded = [limit for limit in limits if not self._limiter.test(limit, kind, who)]
            if not exceeded:
                for limit in limits:
                    self._limiter.hit(limit, kind, who)
                return None
            free_at = max(self._limiter.get_window_stats(limit, kind, who).reset_time for limit in exceeded)
            return max(1, math.ceil(free_at - time.time()))
