"""The URL is in the code, as in the tests of kombu and dramatiq: the account `guest`, on the virtual host /."""

from kombu import Connection, Exchange, Queue

URL = "amqp://guest:guest@localhost:5672//"
QUEUE = Queue("orders", Exchange("orders"), routing_key="orders")


def test_a_message_comes_back() -> None:
    with Connection(URL) as connection:
        with connection.Producer() as producer:
            producer.publish({"id": 1}, exchange=QUEUE.exchange, routing_key="orders", declare=[QUEUE])
        with connection.SimpleQueue(QUEUE) as queue:
            message = queue.get(timeout=10)
            assert message.payload == {"id": 1}
            message.ack()
