"""Notes over HTTP: FastAPI and asyncpg, with Redis as a counter."""

from contextlib import asynccontextmanager

import asyncpg
import redis.asyncio
from fastapi import FastAPI, HTTPException

SCHEMA = "create table if not exists notes (id int generated always as identity primary key, text text not null)"


def create_app(database_url, cache_url):
    @asynccontextmanager
    async def lifespan(app):
        async with asyncpg.create_pool(database_url, min_size=1) as pool, redis.asyncio.from_url(cache_url) as cache:
            await pool.execute(SCHEMA)
            app.state.pool, app.state.cache = pool, cache
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/notes", status_code=201)
    async def add(text: str):
        return {"id": await app.state.pool.fetchval("insert into notes (text) values ($1) returning id", text)}

    @app.get("/notes/{number}")
    async def read(number: int):
        text = await app.state.pool.fetchval("select text from notes where id = $1", number)
        if text is None:
            raise HTTPException(404)
        return {"text": text, "read": await app.state.cache.incr(f"read:{number}")}

    return app
