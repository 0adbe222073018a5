from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(unique=True)


def create_tables(database):
    engine = create_engine(database.sqlalchemy_url)
    Base.metadata.create_all(engine)
    engine.dispose()  # an open connection would prevent clones
