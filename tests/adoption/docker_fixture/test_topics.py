import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def send_and_receive(servers: list[str]) -> bytes:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait("orders", b"one")
    async with AIOKafkaConsumer("orders", bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        message = await asyncio.wait_for(consumer.getone(), 30)
        return message.value or b""


def test_what_was_sent_is_received(kafka_servers: list[str]) -> None:
    assert asyncio.run(send_and_receive(kafka_servers)) == b"one"
