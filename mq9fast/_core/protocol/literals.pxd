"""The words of the protocol, as Views whose sizes the C compiler counts.

protocol/address.pyx has those that Python needs.
"""

from mq9fast._core.base.view cimport View

cdef extern from *:
    """
    /* The "" makes anything but a string literal a syntax error. */
    #define MQ9FAST_LITERAL(text) ((struct mq9fast_view){"" text, sizeof(text) - 1})
    #define MQ9FAST_CRLF "\\r\\n"

    #define MQ9FAST_OURS "$mq9."
    #define MQ9FAST_MAILBOX MQ9FAST_OURS "AI.MAILBOX."

    #define MQ9FAST_PRIORITIES ((const struct mq9fast_view[]){ \\
        MQ9FAST_LITERAL("critical"), MQ9FAST_LITERAL("urgent"), MQ9FAST_LITERAL("normal")})
    """
    # What the subjects of mailboxes begin with.
    const View OUR_PREFIX 'MQ9FAST_LITERAL(MQ9FAST_OURS)'
    const View MAILBOX_PREFIX 'MQ9FAST_LITERAL(MQ9FAST_MAILBOX)'
    const View MSG_PREFIX 'MQ9FAST_LITERAL(MQ9FAST_MAILBOX "MSG.")'
    const View EVENT_PREFIX 'MQ9FAST_LITERAL(MQ9FAST_MAILBOX "EVENT.")'
    const View DELETE_PREFIX 'MQ9FAST_LITERAL(MQ9FAST_MAILBOX "DELETE.")'

    # By rank.
    const View* PRIORITIES "MQ9FAST_PRIORITIES"

    # What nats-server keeps to itself.
    const View ROUTED_REPLY_PREFIX 'MQ9FAST_LITERAL("_GR_.")'
    const View OLD_ROUTED_REPLY_PREFIX 'MQ9FAST_LITERAL("$GR.")'
    const View RAFT_PREFIX 'MQ9FAST_LITERAL("$NRG.")'
    const View SYSTEM_PREFIX 'MQ9FAST_LITERAL("$SYS.REQ.")'
    const View SYSTEM_QUEUE 'MQ9FAST_LITERAL("_sys_")'

    # Verbs.
    const View PUB 'MQ9FAST_LITERAL("PUB")'
    const View HPUB 'MQ9FAST_LITERAL("HPUB")'
    const View SUB 'MQ9FAST_LITERAL("SUB")'
    const View UNSUB 'MQ9FAST_LITERAL("UNSUB")'
    const View CONNECT 'MQ9FAST_LITERAL("CONNECT")'
    const View INFO 'MQ9FAST_LITERAL("INFO")'
    const View PING 'MQ9FAST_LITERAL("PING")'
    const View PONG 'MQ9FAST_LITERAL("PONG")'
    const View OK 'MQ9FAST_LITERAL("+OK")'
    const View ERR 'MQ9FAST_LITERAL("-ERR")'

    # The same with what follows them.
    const View PUB_START 'MQ9FAST_LITERAL("PUB ")'
    const View MSG_START 'MQ9FAST_LITERAL("MSG ")'
    const View HMSG_START 'MQ9FAST_LITERAL("HMSG ")'
    const View PING_LINE 'MQ9FAST_LITERAL("PING" MQ9FAST_CRLF)'
    const View PONG_LINE 'MQ9FAST_LITERAL("PONG" MQ9FAST_CRLF)'
    const View OK_LINE 'MQ9FAST_LITERAL("+OK" MQ9FAST_CRLF)'

    const View CRLF 'MQ9FAST_LITERAL(MQ9FAST_CRLF)'
    # Of headers; headers.pyx has the names that concern mailboxes.
    const View HEADER_VERSION_LINE 'MQ9FAST_LITERAL("NATS/1.0" MQ9FAST_CRLF)'
    const View TRACE_DEST 'MQ9FAST_LITERAL("Nats-Trace-Dest")'
    const View TRACE_ONLY 'MQ9FAST_LITERAL("Nats-Trace-Only")'

    const View NEVER 'MQ9FAST_LITERAL("never")'

    # The words of control_word.pxd.
    const View ACKNOWLEDGE 'MQ9FAST_LITERAL("+ACK")'
    const View NEXT 'MQ9FAST_LITERAL("+NXT")'
    const View TERMINATE 'MQ9FAST_LITERAL("+TERM")'
    const View NAK 'MQ9FAST_LITERAL("-NAK")'
    const View WORK_IN_PROGRESS 'MQ9FAST_LITERAL("+WPI")'

    const View MSG_ID_REPLY 'MQ9FAST_LITERAL("{\\"msg_id\\":")'
    const View DUPLICATE_REPLY_END 'MQ9FAST_LITERAL(",\\"duplicate\\":true}")'


cdef enum Rank:
    # A priority as a number, most urgent first. It is also a byte of each message's key in the store.
    CRITICAL
    URGENT
    NORMAL


cdef enum:
    RANKS = 3
    ALL_RANKS = 7         # a set of ranks: bit `1 << rank` for each
