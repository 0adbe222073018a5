from django.test import TestCase

from notes.models import Note


class NoteTests(TestCase):
    def test_a_note_is_kept(self) -> None:
        Note.objects.create(text="buy milk")
        assert Note.objects.get().text == "buy milk"

    def test_each_test_begins_empty(self) -> None:
        assert Note.objects.count() == 0
