"""Where the servers of a data folder are, for those who did not start them."""

from pathlib import Path

from iotsphere.localstack.postgres import PostgresAddress
from iotsphere.localstack.stack import SQL_STORES, StoreAddresses
from iotsphere.localstack.stored_secrets import Secrets
from iotsphere.localstack.valkey import ValkeyAddress


def find_addresses(data_dir: Path) -> StoreAddresses:
    """Give the addresses of the servers that run on a data folder. Nothing is started and nothing is made.

    :raises LocalStackError: the folder's secrets cannot be understood.
    :raises OSError: the folder is not ours to read.
    """
    link = data_dir / "sockets"
    if not link.is_symlink() or not link.readlink().is_dir():
        return StoreAddresses()
    sockets, secrets = link.readlink(), Secrets(data_dir)
    databases = PostgresAddress(sockets, admin_password="", timescaledb=False)
    dsns = {}
    for store in SQL_STORES:
        name = f"iotsphere_{store}"
        password = secrets.find(f"{name}_password")
        dsns[f"{store}_dsn"] = password and databases.dsn(role=name, password=password, database=name)
    password = secrets.find("valkey_password")
    shadow_url = password and ValkeyAddress(sockets, admin_password="", password=password).url()
    return StoreAddresses(**dsns, shadow_url=shadow_url)
