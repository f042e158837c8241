"""Opens the database of a store: SQLite in WAL mode by path, PostgreSQL by URL; brings its tables to this version.

A transaction that is committed is on disk (`synchronous=FULL`), so what is acknowledged outlives a kill. Several processes
may share a store: one writes at a time, and others wait for it, in SQLite by itself and in PostgreSQL by a lock of ours, so
that what is true of one database is true of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from recommender.errors import DataError

_MIGRATIONS = Path(__file__).parent / "migrations"
#: seconds that another process may write while this one waits
_PATIENCE = 10.0
#: values of one statement
_VALUES = 500
_READS = "recommender_reads"
_FIRST_BYTES = b"SQLite format 3\x00"
#: the journal may have 8000 pages until it goes into the store, for which somebody waits
_PRAGMAS = ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON", "wal_autocheckpoint=8000")
#: the number of the lock that writers of a PostgreSQL store hold, one after the other
_WRITERS = 7_263_001


class StoreUnavailableError(DataError):
    """The store cannot be read or written at the moment: a full disk, a database that is away, a lock that stays."""


def open_database(where: str | Path) -> Engine:
    """Return the engine of a store, its tables made or brought to this version.

    `where`: a path, or a URL of SQLAlchemy such as postgresql+psycopg://host/name. Raises DataError for what is no store.
    """
    engine = _engine(str(where))
    try:
        _migrate(engine)
    except (SQLAlchemyError, CommandError) as error:
        engine.dispose()
        raise _said(error, where) from None
    return engine


def _engine(where: str) -> Engine:
    if "://" not in where:
        path = Path(where)
        if not path.parent.is_dir() or path.is_dir():
            raise DataError(f"{where}: no store can be there", "name a file in a folder that exists")
        if path.is_file() and path.stat().st_size and path.open("rb").read(16) != _FIRST_BYTES:
            raise DataError(f"{where}: is no store, but something else", "name a new file for it")
        where = f"sqlite:///{path.resolve()}"
    try:
        url = make_url(where)
        sqlite = url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": _PATIENCE}} if sqlite else {"pool_pre_ping": True}
        engine = create_engine(url, **options)
    except (ArgumentError, ImportError, SQLAlchemyError) as error:
        raise DataError(
            f"the store cannot be opened: {_first_line(error)}", "give a path, or postgresql+psycopg://..."
        ) from None
    _listen(engine, "FULL")
    return engine


def outliving_kills(engine: Engine) -> Engine:
    """Return an engine of the same store for many small writes, each of which a killed process leaves behind whole.

    SQLite hands them to the system at once, and to the disk with the next write of the store's own engine, in their order:
    a machine that loses its power may lose the last of them. PostgreSQL gets the engine back as it is.
    """
    if engine.dialect.name != "sqlite":
        return engine
    quick = create_engine(engine.url, connect_args={"timeout": _PATIENCE})
    _listen(quick, "NORMAL")
    return quick


def _listen(engine: Engine, synchronous: str) -> None:
    if engine.dialect.name != "sqlite":
        event.listen(engine, "begin", _begin_postgresql)
        return

    def set_up(connection: Any, _: Any) -> None:
        # transactions are ours: the driver would begin them late, and two writers could not wait for each other
        connection.isolation_level = None
        for pragma in (*_PRAGMAS, f"synchronous={synchronous}"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", _begin_sqlite)


def _begin_postgresql(connection: Connection) -> None:
    """Let writers wait for each other, as long as those of SQLite would; what one transaction reads belongs together."""
    if connection.get_execution_options().get(_READS, False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(_PATIENCE * 1000)}")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def _begin_sqlite(connection: Connection) -> None:
    """Take the right to write at once, so that writers wait for each other; who only reads waits for nobody."""
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS))
    wanted = ScriptDirectory.from_config(config).get_current_head()
    with engine.begin() as connection:
        if MigrationContext.configure(connection).get_current_revision() != wanted:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def revision(engine: Engine) -> str:
    """Return the revision of the tables."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision() or "none"


def tidy(engine: Engine) -> None:
    """Let nothing that was deleted stay in the journal beside a SQLite store; while others read, some of it may."""
    if engine.dialect.name == "sqlite":
        with _said_plainly(), engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose changes are kept together, or none of them. Raises StoreUnavailableError."""
    with _said_plainly(), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose reads belong together; it waits for no writer. Raises StoreUnavailableError."""
    with _said_plainly(), engine.connect() as connection:
        connection.execution_options(**{_READS: True})
        with connection.begin():
            yield connection


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise _unavailable(error) from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _unavailable(error) from None
        raise


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"the store cannot be used at the moment: {_first_line(error)}", "try again later")


def _said(error: Exception, where: str | Path) -> DataError:
    if isinstance(error, CommandError):
        return DataError(f"{where}: the store is of a later version of this package", "install that version")
    return DataError(f"{where}: the store cannot be opened: {_first_line(error)}", "is it a store, and reachable?")


def _first_line(error: Exception) -> str:
    """Return what went wrong; SQLAlchemy's own text would show statements and addresses."""
    original = getattr(error, "orig", None) or error
    return str(original).strip().partition("\n")[0] or type(original).__name__


def parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield values in parts of as many as a statement takes: databases limit how many it holds."""
    for start in range(0, len(values), _VALUES):
        yield values[start : start + _VALUES]
