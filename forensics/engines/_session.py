"""Sessions of Spark: one that runs in this process, or a new one; with the settings that the queries count on."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import CaseError, MissingToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

__all__ = ["SETTINGS", "master_of", "session_of"]

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",  # "end" is a column, as everywhere else
    "spark.sql.ansi.enforceReservedKeywords": "false",
    "spark.sql.groupByOrdinal": "true",
    "spark.sql.runSQLOnFiles": "false",  # a query names tables, never files
}
"""What the one text of a query counts on, whatever a cluster is set to."""

ALONE = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
"""Settings of a Spark on this machine: nothing but the loopback device is listened on."""

PIECES = 4
"""Pieces for each core that a Spark on this machine takes rows apart into; its 200 are meant for clusters."""


def session_of(master: str) -> SparkSession:
    """Return the session of Spark in this process, which is started where there is none.

    Parameters
    ----------
    master
        URL of the master: ``local[4]``, ``spark://host:7077``, ``yarn``, ``k8s://...``.

    Raises
    ------
    CaseError
        Spark runs in this process with another master; there can be only one.
    MissingToolError
        PySpark or Java is not installed, or Spark does not start.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingToolError("Apache Spark runs through PySpark: `pip install 'forensics[spark]'`") from error
    if running := SparkSession.getActiveSession():
        if master_of(running) != master:
            told = f"Spark runs as {master_of(running)} in this process already, not as {master}"
            raise CaseError(f"{told}: end that session, or hand it over as engine=")
        return running
    if not shutil.which("java", path=_java_path()):
        told = "Apache Spark needs Java 17 or newer, and there is no `java`"
        raise MissingToolError(f"{told}: `apt install default-jre-headless`, or set JAVA_HOME")
    builder = SparkSession.builder.master(master).appName("forensics")
    for name, value in _started_with(master).items():
        builder = builder.config(name, value)
    try:
        with _environment(master):
            session = builder.getOrCreate()
    except (PySparkException, OSError) as error:
        raise MissingToolError(f"Apache Spark does not start as {master}: {error}") from error
    session.sparkContext.setLogLevel("FATAL")  # an error is raised; it need not be shown as well
    return session


def _java_path() -> str:
    """Return where Spark looks for Java."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin") if home else os.environ.get("PATH", os.defpath)


def _started_with(master: str) -> dict[str, str]:
    """Return the settings of a Spark that is started here."""
    tables = tempfile.mkdtemp(prefix="forensics-")  # Spark makes a folder for tables that nobody will keep
    atexit.register(shutil.rmtree, tables, ignore_errors=True)
    quiet = {"spark.ui.showConsoleProgress": "false", "spark.sql.warehouse.dir": tables}
    if not master.startswith("local"):
        return quiet | SETTINGS
    return quiet | SETTINGS | ALONE | {"spark.sql.shuffle.partitions": str(PIECES * (os.cpu_count() or 1))}


@contextmanager
def _environment(master: str) -> Iterator[None]:
    """Set what Spark takes from the environment as it starts, and nothing for longer."""
    wanted = {}
    if master.startswith("local"):
        # Workers on this machine run this Python; no address of it is looked for in the network.
        wanted = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def master_of(session: SparkSession) -> str:
    """Return the URL of a session's master."""
    return str(session.conf.get("spark.master"))
