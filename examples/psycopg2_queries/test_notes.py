import psycopg2
import psycopg2.extras
import pytest


def test_a_row_is_a_dictionary(connection):
    with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("insert into notes (text) values (%s) returning id, text", ["hello"])
        assert cursor.fetchone() == {"id": 1, "text": "hello"}


def test_many_rows_at_once(connection):
    with connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(
            cursor, "insert into notes (text) values %s", [[f"note {n}"] for n in range(100)]
        )
        cursor.execute("select count(*) from notes")
        assert cursor.fetchone() == (100,)


def test_a_rule_of_the_schema_holds(connection):
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.NotNullViolation):
        cursor.execute("insert into notes (text) values (null)")
