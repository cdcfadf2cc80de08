from collections import OrderedDict

from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey

MAX_BYTES = 2 * 1024 * 1024


class WrittenShadows:
    """What this process wrote last, so that it need not read a shadow before it writes it again.

    Another process may have written since, which the store tells when the versions are compared; in another
    generation the same version may be another shadow, and nothing of it is given. As JSON, the shadows take
    ``MAX_BYTES`` together, each with its last change; those written longest ago are let go of first.
    """

    def __init__(self) -> None:
        self._changes: OrderedDict[ShadowKey, tuple[ShadowChange, int]] = OrderedDict()
        self._bytes = 0

    def find(self, key: ShadowKey, *, generation: int | None) -> Shadow | None:
        change, _ = self._changes.get(key, (None, 0))
        return change.shadow if change is not None and change.generation == generation else None

    def save(self, change: ShadowChange) -> None:
        self.remove(change.key)
        self._changes[change.key] = change, change.size_bytes
        self._bytes += change.size_bytes
        while self._bytes > MAX_BYTES:
            _, (_, size) = self._changes.popitem(last=False)
            self._bytes -= size

    def remove(self, key: ShadowKey) -> None:
        _, size = self._changes.pop(key, (None, 0))
        self._bytes -= size
