"""The tests that do not run on a replicated log (`make test-log`), each with the reason.

A name is that of a file of tests, or of a test of a file as pytest has it, with its parameters if they
matter. Tests that run a broker in their own process, or nodes of a cluster, have no log in memory: they are
not here.
"""

LOCAL = "it reads, damages or copies files that only the store of a single broker has"
FAILS = "it makes files of a single store fail: tests/cluster/test_store_failures.py does so to nodes"
DAMAGED = "it changes rows of the owner's store alone: its standby does not have them"
KILLED = "it reads the rows of a killed broker: the store of a node needs the log to have all of them"
MEMORY = "it bounds the memory of the process, which has the log and the standby, too"
TIME = "it bounds how late messages come, and the process does the work of the standby, too"
COMMAND = "it takes the command of the broker to be `mq9fast`, in any directory"
REMOVED = "it throws the store away, and the log brings it back"
SYNC = "it changes the sync mode, which is always the same in a cluster"

_BY_REASON: dict[str, tuple[str, ...]] = {
    LOCAL: (
        "tests/cli/test_data_directory.py",
        "tests/cli/test_examples.py::test_example_runs[backup]",
        "tests/cli/test_examples.py::test_example_runs[check]",
        "tests/cli/test_examples.py::test_example_runs[restore]",
        "tests/cli/test_examples.py::test_example_runs[salvage]",
        "tests/fault/test_descriptors.py::test_store_with_many_tables_leaves_descriptors_for_connections",
        "tests/fault/test_full_disk.py::test_broker_stops_on_a_full_disk_and_starts_after_it_was_cleared",
        "tests/fault/test_full_disk.py::test_full_disk_refuses_messages_until_there_is_space[log]",
        "tests/fault/test_full_disk.py::test_full_disk_refuses_messages_until_there_is_space[value-log]",
        "tests/fault/test_harness.py::test_random_faults_break_no_rule",
        "tests/fault/test_planted_faults.py",
        "tests/fault/test_shim.py::test_shim_sees_every_write_of_a_broker",
        "tests/maintenance/test_backup.py",
        "tests/maintenance/test_check.py",
        "tests/maintenance/test_damaged_blocks.py",
        "tests/maintenance/test_node_directory.py::test_broker_serves_what_was_salvaged_of_a_node",
        "tests/maintenance/test_salvage.py",
        "tests/maintenance/test_under_load.py",
        "tests/repository/test_runbook.py::test_snippet_runs[snippet0]",
        "tests/repository/test_runbook.py::test_snippet_runs[snippet1]",
        "tests/server/test_start.py::test_older_format_is_read_and_upgraded",
        "tests/server/test_start.py::test_other_rocksdb_database_is_refused_and_unchanged",
        "tests/storage/test_checkpoint.py",
        "tests/storage/test_data_directory.py",
        "tests/storage/test_format_3.py",
        "tests/storage/test_log_loss.py",
        "tests/storage/test_manifest_edits.py",
        "tests/storage/test_manifest_end.py",
        "tests/storage/test_missing_segment.py",
        "tests/storage/test_older_formats.py",
        "tests/storage/test_power_cut_values.py",
        "tests/storage/test_sparse_batches.py",
        "tests/storage/test_stored_count.py",
        "tests/storage/test_waiting_reads.py",
    ),
    FAILS: (
        "tests/fault/test_damaged_table.py",
        "tests/fault/test_healing.py",
        "tests/fault/test_kill_upgrade.py",
        "tests/fault/test_lost_pages.py",
        "tests/fault/test_parallel_sync.py",
        "tests/fault/test_slow_disk.py",
        "tests/fault/test_undo.py",
        "tests/fault/test_unreadable.py",
        "tests/fault/test_value_cleaner.py",
        "tests/fault/test_value_deletion.py",
        "tests/fault/test_value_log.py",
        "tests/fault/test_value_sync.py",
        "tests/fault/test_value_writer.py",
    ),
    DAMAGED: (
        "tests/fault/test_leftovers.py",
        "tests/monitoring/test_mailboxz.py::test_a_corrupt_message_leaves_out_oldest_message",
        "tests/storage/test_corrupt_store.py",
    ),
    KILLED: (
        "tests/mailbox/test_failed_deliveries.py::test_member_that_leaves_with_thousands",
        "tests/mailbox/test_keys.py::test_replaced_message_is_not_given_out_after_a_restart[kill]",
    ),
    MEMORY: (
        "tests/fault/test_half_written.py",
        "tests/fault/test_million.py::test_a_million_stored_messages_use_little_memory",
        "tests/fault/test_million.py::test_memory_of_writing_is_released_when_idle",
        "tests/fault/test_million.py::test_stopped_readers_use_bounded_memory",
        "tests/mailbox/test_queue_group.py::test_fetching_and_refusing_again_and_again_uses_no_more_memory",
        "tests/soak/test_soak.py::test_nothing_is_left_of_clients_that_came_and_went",
        "tests/websocket/test_limits.py::test_a_slow_mailbox_subscriber_costs_no_memory_and_loses_nothing",
    ),
    TIME: ("tests/fault/test_many_delayed.py::test_each_of_100_000_delayed_messages_comes_on_time",),
    COMMAND: (
        "tests/cli/test_doctor.py::test_a_port_in_use_names_the_process",
        "tests/repository/test_from_nats_server.py::test_the_translated_file_is_valid",
        "tests/server/test_process_files.py::test_only_broker_of_a_user_is_found",
    ),
    REMOVED: ("tests/console/test_inbox.py::test_another_message_with_the_same_number_is_shown",),
    SYNC: (
        "tests/server/test_reload.py::test_invalid_file_changes_nothing"
        "[sync = 'never'-sync cannot change while the broker runs]",
    ),
}
NOT_ON_LOG = {name: reason for reason, names in _BY_REASON.items() for name in names}


def reason_not_on_log(nodeid: str) -> str:
    """Why the test with this name does not run on a log, or ""."""
    file, _, rest = nodeid.partition("::")
    test = f"{file}::{rest.partition('[')[0]}"
    return NOT_ON_LOG.get(nodeid) or NOT_ON_LOG.get(test) or NOT_ON_LOG.get(file, "")
