"""The registry on JetStream: one key of a KV bucket with three replicas, in files."""

from collections.abc import Collection

import msgspec
from nats.aio.client import Client
from nats.js.api import Header, KeyValueConfig, StorageType
from nats.js.errors import APIError, NotFoundError

from mq9fast.cluster.log_checks import REPLICAS, check_replicas
from mq9fast.cluster.nats_connection import NATS_ERRORS
from mq9fast.cluster.registry import Entry, Outdated, OwnerRecord, RegistryError

KEY = "owner"
# An answer that takes longer counts as none. The owner then has time for another renewal.
TIMEOUT_SECONDS = 0.7
# Creating a bucket takes an election of its leader.
CREATE_SECONDS = 5.0
# The codes of JetStream for another revision than the expected one.
WRONG_REVISION = {10071, 10164}


class JetStreamRegistry:
    """The record of one cluster, in the bucket `{name}_OWNER`."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._js = client.jetstream(timeout=TIMEOUT_SECONDS)
        self._creating = client.jetstream(timeout=CREATE_SECONDS)
        self._bucket = f"{name}_OWNER"
        self._subject = f"$KV.{self._bucket}.{KEY}"

    async def create(self) -> None:
        """Create the bucket, if it is missing. Raises RegistryError, and StartError if it is another one."""
        config = KeyValueConfig(
            bucket=self._bucket, history=1, replicas=REPLICAS, storage=StorageType.FILE, direct=False
        )
        try:
            await self._creating.create_key_value(config)
            await check_replicas(self._client, f"KV_{self._bucket}")
        except NATS_ERRORS as error:
            raise RegistryError(f"the bucket {self._bucket} cannot be created: {error}") from error

    async def get(self) -> Entry | None:
        try:
            message = await self._js.get_msg(f"KV_{self._bucket}", subject=self._subject)
            return Entry(msgspec.json.decode(message.data or b"", type=OwnerRecord), message.seq or 0)
        except NotFoundError as error:
            if error.err_code == 10037:  # no message; anything else: there is no such stream
                return None
            raise RegistryError(str(error)) from error
        except msgspec.DecodeError as error:
            raise RegistryError(f"the record {self._subject} cannot be read: {error}") from error
        except NATS_ERRORS as error:
            raise RegistryError(_reason(error)) from error

    async def update(self, record: OwnerRecord, revision: int) -> int:
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}
        try:
            answer = await self._js.publish(self._subject, msgspec.json.encode(record), headers=headers)
        except APIError as error:
            if error.err_code in WRONG_REVISION:
                raise Outdated(str(error)) from error
            raise RegistryError(str(error)) from error
        except NATS_ERRORS as error:
            raise RegistryError(_reason(error)) from error
        return answer.seq

    async def move_leader_from(self, server: str, avoided: Collection[str | None]) -> str | None:
        """If the server of this name leads the bucket, have another one lead it that can at once.

        Returns its name, None if the leader stays. Raises RegistryError.
        """
        stream = f"KV_{self._bucket}"
        try:
            cluster = (await self._js.stream_info(stream)).cluster
            if cluster is None or cluster.leader != server:
                return None
            able = [each for each in cluster.replicas or () if each.current and not each.offline]
            able = [each for each in able if each.name not in avoided]
            if not able:
                return None
            # `active`: the nanoseconds since it was last heard.
            wanted = min(able, key=lambda each: each.active or 0).name
            answer = await self._client.request(
                f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}",
                msgspec.json.encode({"placement": {"preferred": wanted}}),
                timeout=TIMEOUT_SECONDS,
            )
        except NATS_ERRORS as error:
            raise RegistryError(_reason(error)) from error
        refusal = msgspec.json.decode(answer.data).get("error")
        if refusal is not None:
            raise RegistryError(str(refusal.get("description")))
        return wanted


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
