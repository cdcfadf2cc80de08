"""The process that answers HTTP says in one sentence why it cannot."""

import asyncio
import socket
from dataclasses import replace

import pytest

from iotsphere.cli.errors import CommandError
from iotsphere.cli.roles.serve import serve
from tests.api.bench import NOWHERE


async def test_an_address_that_is_taken_is_named_and_nothing_is_left_half_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(CommandError, match=f"Cannot listen on 127.0.0.1:{port}: Address already in use"):
            await serve(replace(NOWHERE, host="127.0.0.1", port=port))

    # What is half started is torn down by the loop, which tells of it in a stack.
    assert asyncio.all_tasks() == {asyncio.current_task()}
