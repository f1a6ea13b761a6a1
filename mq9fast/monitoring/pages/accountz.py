"""/accountz: the names of the accounts, or one of them with its counts, in nats-server's fields.

It reads counters only.
"""

from typing import ClassVar

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import ACCOUNT, SYSTEM_ACCOUNT, HttpError, Page, json_page
from mq9fast.monitoring.query import Query, read_query
from mq9fast.monitoring.system_account import account_info
from mq9fast.monitoring.units import timestamp


class AccountzQuery(Query, frozen=True):
    """The parameters of /accountz. `acc`: the account to show; "" for a list of all."""

    acc: str = ""

    expected: ClassVar[dict[str, str]] = {"acc": "the name of an account"}


class Accountz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView) -> None:
        self._broker = broker

    def page(self, query_string: str) -> Page:
        """Raises HttpError (400)."""
        name = read_query(query_string, AccountzQuery).acc
        if name not in {"", ACCOUNT, SYSTEM_ACCOUNT}:
            raise HttpError(400, "The account does not exist.")
        broker, time = self._broker, self._broker.engine.time
        head = {
            "server_id": broker.handshake.server_id,
            "now": timestamp(time.wall_ms(time.now_ms)),
            "system_account": SYSTEM_ACCOUNT,
        }
        if name:
            return json_page({**head, "account_detail": account_info(broker, name)})
        return json_page({**head, "accounts": [SYSTEM_ACCOUNT, ACCOUNT]})
