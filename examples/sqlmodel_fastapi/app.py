import os

from fastapi import Depends, FastAPI, HTTPException
from sqlmodel import Field, Session, SQLModel, create_engine


class Note(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    text: str


def get_session():
    with Session(create_engine(os.environ["DATABASE_URL"])) as session:
        yield session


app = FastAPI()
opened = Depends(get_session)


@app.post("/notes", status_code=201)
def add(note: Note, session: Session = opened) -> Note:
    session.add(note)
    session.commit()
    session.refresh(note)
    return note


@app.get("/notes/{number}")
def read(number: int, session: Session = opened) -> Note:
    note = session.get(Note, number)
    if note is None:
        raise HTTPException(404)
    return note


def create_tables(database):
    engine = create_engine(database.sqlalchemy_url)
    SQLModel.metadata.create_all(engine)
    engine.dispose()
