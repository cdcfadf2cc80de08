from collections import OrderedDict

from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey

MAX_BYTES = 2 * 1024 * 1024


class WrittenShadows:
    """What this process wrote last, so that it need not read a shadow before it writes it again.

    Another process may have written since, which the store tells when the versions are compared. As JSON, the shadows
    take ``MAX_BYTES`` together, each with its last change; those written longest ago are let go of first.
    """

    def __init__(self) -> None:
        self._shadows: OrderedDict[ShadowKey, tuple[Shadow, int]] = OrderedDict()
        self._bytes = 0

    def find(self, key: ShadowKey) -> Shadow | None:
        found = self._shadows.get(key)
        return found[0] if found else None

    def save(self, change: ShadowChange) -> None:
        self.remove(change.key)
        self._shadows[change.key] = change.shadow, change.size_bytes
        self._bytes += change.size_bytes
        while self._bytes > MAX_BYTES:
            _, (_, size) = self._shadows.popitem(last=False)
            self._bytes -= size

    def remove(self, key: ShadowKey) -> None:
        _, size = self._shadows.pop(key, (None, 0))
        self._bytes -= size

    def clear(self) -> None:
        self._shadows.clear()
        self._bytes = 0
