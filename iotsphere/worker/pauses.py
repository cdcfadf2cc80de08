import asyncio


async def pause(seconds: float, *, unless: asyncio.Event) -> None:
    """Wait for so long, or until the event is set."""
    try:
        await asyncio.wait_for(unless.wait(), seconds)
    except TimeoutError:
        return
