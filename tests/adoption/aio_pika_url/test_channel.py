"""The URL comes from a variable, as in the tests of aio-pika: AMQP_URL, with `guest` as the default."""

import asyncio
import os

import aio_pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost")


async def exchange() -> bytes:
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("letters", auto_delete=True)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key=queue.name)
        message = await queue.get(timeout=10)
        assert message is not None
        await message.ack()
        return message.body


def test_a_letter_arrives() -> None:
    assert asyncio.run(exchange()) == b"hello"
