import asyncio
import signal


def stop_requested() -> asyncio.Event:
    """Give an event that SIGTERM and SIGINT set, from now on instead of ending the process."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
