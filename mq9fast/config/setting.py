"""One row of the table of settings: its name, type, flag and help text.

`config/settings.py` makes the table of the fields of `Settings`. The modules that read the command line, the
variables and the file use it.
"""

from typing import Any, get_args, get_type_hints

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, Metadata, StructType, Type, UnionType

# Settings of listeners and of the store, and values in INFO. A reload can change all other settings.
FIXED = {
    "host",
    "port",
    "proxy_protocol",
    "data_dir",
    "sync",
    "sync_interval",
    "accept_loss",
    "monitor_host",
    "monitor_port",
    "monitor_tls",
    "monitor_base_path",
    "ws_host",
    "ws_port",
    "max_control_line",
    "tls_handshake_first",
    "server_name",
    "log_file",
    "log_format",
    "pid_file",
    "ports_file_dir",
    "cluster_log",
    "node_name",
    "cluster_name",
    "cluster_log_user",
    "cluster_log_password",
    "cluster_log_creds",
    "cluster_log_tls_ca",
    "cluster_log_tls_cert",
    "cluster_log_tls_key",
    "cluster_log_monitor",
    "cluster_host",
    "cluster_port",
    "cluster_advertise",
    "cluster_secret",
    "cluster_copies",
}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table, derived from a field of the struct of all settings.

    `hint`: the annotation of the field. `kind`: its type without None. `unit`: "" if it has none.
    """

    name: str
    hint: Any
    kind: Type
    default: Any
    help: str
    unit: str
    secret: bool

    @property
    def fixed(self) -> bool:
        """Whether a change needs a restart."""
        return self.name in FIXED

    @property
    def flag(self) -> str:
        """The flag, such as --max-payload."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable, such as MQ9FAST_MAX_PAYLOAD."""
        return f"MQ9FAST_{self.name.upper()}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values in their order; () if it is not a choice."""
        return get_args(get_args(self.hint)[0]) if isinstance(self.kind, LiteralType) else ()

    @property
    def expected(self) -> str:
        """The allowed values in words, for the end of an error sentence."""
        kind = self.kind
        if isinstance(kind, BoolType):
            return "true or false"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if isinstance(kind, IntType):
            return f"a whole number from {kind.ge} to {kind.le}"
        if isinstance(kind, FloatType):
            low = f"above {kind.gt:g}" if kind.ge is None else f"of at least {kind.ge:g}"
            return f"a number of {self.unit} {low} and at most {kind.le}"
        return "text of at least one character, without control characters"


def table_of(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """A row for each field of `struct` whose annotation has a help text, in their order."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, StructType)
    hints = get_type_hints(struct, include_extras=True)
    rows = []
    for field in info.fields:
        if not isinstance(field.type, Metadata):  # those of the file only, and `given`
            continue
        kind, extra = field.type.type, field.type.extra or {}
        rows.append(
            Setting(
                name=field.name,
                hint=hints[field.name],
                kind=kind.types[0] if isinstance(kind, UnionType) else kind,
                default=field.default,
                help=(field.type.extra_json_schema or {})["description"],
                unit=extra.get("unit", ""),
                secret=extra.get("secret", False),
            )
        )
    return tuple(rows)
