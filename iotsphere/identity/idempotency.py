"""The same request, sent again under the same key, is done once and gets the same answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from iotsphere.identity.errors import IdempotencyKeyBusyError, IdempotencyKeyReusedError
from iotsphere.identity.model import IdempotencyRecord
from iotsphere.identity.ports import IdentityUnitOfWorkFactory
from iotsphere.identity.secrets import CipherTextLostError, PlatformCipher
from iotsphere.kernel.clock import Clock

REMEMBERED_FOR = timedelta(hours=24)
# A request that has not answered by then has most likely died with its process, and its key is free again. Should it
# end after all, it leaves alone what another has begun under the key.
ABANDONED_AFTER = timedelta(seconds=30)
# However much has piled up, a statement has to end in time.
FORGOTTEN_AT_ONCE = 500
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02


class IdempotencyService:
    """Remembers answers for 24 hours, encrypted: one of them may show a key that is shown only once."""

    def __init__(self, *, unit_of_work: IdentityUnitOfWorkFactory, clock: Clock, cipher: PlatformCipher) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._cipher = cipher
        self._at_work: set[asyncio.Task[bytes]] = set()

    async def answer_once(
        self, *, actor: str, key: str, fingerprint: bytes, work: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """Do the work, unless it was done under this key before: then give the answer that it got.

        Of several at once one does the work and the others wait for its answer. Work that is refused leaves the key
        free. Whoever stops waiting, because the client is gone, does not stop the work: that client comes again.

        :raises IdempotencyKeyReusedError: the key came with another request.
        :raises IdempotencyKeyBusyError: the request that has the key did not end in time.
        """
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while (record := await self._claim(actor, key, fingerprint, now=(started_at := self._clock()))) is not None:
            if record.fingerprint != fingerprint:
                raise IdempotencyKeyReusedError("The idempotency key was used for another request. Make a new one.")
            if record.answer is not None:
                return self._decrypted(record.answer)
            if asyncio.get_running_loop().time() > deadline:
                raise IdempotencyKeyBusyError("The first request with this idempotency key is still at work.")
            await asyncio.sleep(POLL_SECONDS)
        task = asyncio.create_task(self._work_and_remember(actor, key, started_at, work))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        try:
            return await asyncio.shield(task)
        finally:
            # Its error, which passes through here, would hold it and so itself, with all that was worked on.
            del task

    async def forget_old(self) -> None:
        """Remove what need not be remembered any more."""
        moment, removed = self._clock() - REMEMBERED_FOR, FORGOTTEN_AT_ONCE
        while removed == FORGOTTEN_AT_ONCE:
            async with self._unit_of_work() as uow:
                removed = await uow.idempotency.remove_before(moment, limit=FORGOTTEN_AT_ONCE)
                await uow.commit()

    def _decrypted(self, answer: bytes) -> bytes:
        try:
            return self._cipher.decrypt(answer)
        except CipherTextLostError as error:
            raise IdempotencyKeyReusedError(
                "The answer to this idempotency key was kept under a secret key that the platform no longer has. "
                "See whether the request was done, and make a new key."
            ) from error

    async def _claim(self, actor: str, key: str, fingerprint: bytes, *, now: datetime) -> IdempotencyRecord | None:
        async with self._unit_of_work() as uow:
            record = await uow.idempotency.claim(
                actor,
                key,
                fingerprint,
                now=now,
                forget_before=now - REMEMBERED_FOR,
                abandon_before=now - ABANDONED_AFTER,
            )
            await uow.commit()
        return record

    async def _work_and_remember(
        self, actor: str, key: str, started_at: datetime, work: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        try:
            answer = await work()
        except BaseException:
            async with self._unit_of_work() as uow:
                await uow.idempotency.remove(actor, key, started_at=started_at)
                await uow.commit()
            raise
        async with self._unit_of_work() as uow:
            await uow.idempotency.save_answer(actor, key, self._cipher.encrypt(answer), started_at=started_at)
            await uow.commit()
        return answer
