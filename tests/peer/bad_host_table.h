/* SPDX-License-Identifier: MIT */
/*
 * The names of all attacks of the bad host, for both its ends: bad_host.c has what each
 * does, bad_host_guest.c lives through it.
 *
 * ATTACK(name, hits, how): the attack counts as made after @hits lies.
 */
#ifndef PEER_BAD_HOST_TABLE_H
#define PEER_BAD_HOST_TABLE_H

enum attack_how {
	AT_ONCE = 0,		/* the port serves again as soon as the lies end */
	SPOILS = 1,		/* queues or slots are lost: the driver is bound again afterwards */
	AT_START = 2,		/* of a life: the driver is bound again before and afterwards */
	WHILE_USED = 4,		/* and that happens before the processes are killed */
	BY_PLAY = 8,		/* only made where a play looks for just that */
};

#define BAD_HOST_ATTACKS(ATTACK)							\
	/* An answer does not match its request (bad_host_results.c). */		\
	ATTACK(count_above, 20, AT_ONCE)						\
	ATTACK(count_huge, 20, AT_ONCE)							\
	ATTACK(count_less, 20, AT_ONCE)							\
	ATTACK(count_none, 20, AT_ONCE)							\
	ATTACK(used_zero, 20, AT_ONCE)							\
	ATTACK(used_short, 20, AT_ONCE)							\
	ATTACK(used_huge, 20, AT_ONCE)							\
	ATTACK(used_without_payload, 20, AT_ONCE)					\
	ATTACK(offset_back, 20, AT_ONCE)						\
	ATTACK(offset_jump, 20, AT_ONCE)						\
	ATTACK(offset_wild, 20, AT_ONCE)						\
	ATTACK(status_wild, 20, AT_ONCE)						\
	ATTACK(status_random, 100, AT_ONCE)						\
	ATTACK(status_of_all, 100, SPOILS)						\
	ATTACK(order_storm, 50, AT_ONCE)						\
	ATTACK(order_below, 50, AT_ONCE)						\
	ATTACK(again_storm, 200, AT_ONCE)						\
	ATTACK(again_for_ever, 20, AT_ONCE)						\
	ATTACK(ended_storm, 50, AT_ONCE)						\
	ATTACK(bad_state_storm, 50, AT_ONCE)						\
	ATTACK(stale_storm, 20, AT_ONCE)						\
	ATTACK(busy_storm, 20, AT_ONCE)							\
	ATTACK(cancelled_storm, 20, AT_ONCE)						\
	ATTACK(end_of_old, 20, AT_ONCE)							\
	ATTACK(gap, 20, AT_ONCE)							\
	ATTACK(small_steps, 200, AT_ONCE)						\
	ATTACK(answer_changes, 50, AT_ONCE)						\
	ATTACK(connect_stateless, 6, AT_ONCE)						\
	ATTACK(connect_stale, 6, AT_ONCE)						\
	ATTACK(connect_busy, 6, AT_ONCE)						\
	ATTACK(connect_unasked, 20, AT_ONCE)						\
	ATTACK(late, 3, AT_ONCE)							\
	ATTACK(late_and_wrong, 3, AT_ONCE)						\
	ATTACK(silent_connect, 3, SPOILS)						\
	ATTACK(silent_write, 3, SPOILS)							\
	ATTACK(silent_read, 2, SPOILS)							\
	ATTACK(silent_close, 3, SPOILS)							\
	ATTACK(silent_cancel, 1, SPOILS)						\
	ATTACK(silent_all, 5, SPOILS)							\
	ATTACK(silent_unbind, 5, SPOILS | WHILE_USED)					\
	/* One kind of answer, broken or rare (bad_host_answers.c). */			\
	ATTACK(broken_connect, 2, BY_PLAY)						\
	ATTACK(busy_with_state, 2, BY_PLAY)						\
	ATTACK(broken_read, 2, BY_PLAY)							\
	ATTACK(broken_write, 2, BY_PLAY)						\
	ATTACK(broken_cancel, 2, BY_PLAY)						\
	ATTACK(broken_shutdown, 2, BY_PLAY)						\
	ATTACK(broken_close, 2, BY_PLAY)						\
	ATTACK(broken_abort, 4, BY_PLAY)						\
	ATTACK(swapped, 3, BY_PLAY)							\
	ATTACK(lingering, 5, BY_PLAY)							\
	ATTACK(deaf, 1, BY_PLAY)							\
	/* Memory that cannot be reached (bad_host_fault.c). */				\
	ATTACK(fault_pages, 2, AT_ONCE)							\
	ATTACK(fault_half, 2, AT_ONCE)							\
	ATTACK(fault_all, 20, AT_ONCE)							\
	ATTACK(fault_full, 20, AT_ONCE)							\
	ATTACK(fault_offset, 20, AT_ONCE)						\
	ATTACK(fault_connect, 6, AT_ONCE)						\
	ATTACK(fault_others, 6, AT_ONCE)						\
	/* States and events (bad_host_states.c). */					\
	ATTACK(state_random, 300, SPOILS)						\
	ATTACK(state_random_newer, 300, SPOILS)						\
	ATTACK(state_each_connect, 512, SPOILS)						\
	ATTACK(state_each_event, 1024, SPOILS)						\
	ATTACK(refused_later, 20, AT_ONCE)						\
	ATTACK(closed_early, 20, AT_ONCE)						\
	ATTACK(end_then_data, 20, AT_ONCE)						\
	ATTACK(failed_then_data, 20, AT_ONCE)						\
	ATTACK(seq_back, 20, AT_ONCE)							\
	ATTACK(seq_jump, 20, SPOILS)							\
	ATTACK(bits_wild, 20, SPOILS)							\
	ATTACK(reason_wild, 20, SPOILS)							\
	ATTACK(close_not_closed, 5, SPOILS)						\
	ATTACK(event_unknown, 200, AT_ONCE)						\
	ATTACK(event_generation, 200, AT_ONCE)						\
	ATTACK(event_flood, 2000, AT_ONCE)						\
	ATTACK(event_none_flood, 2000, AT_ONCE)						\
	ATTACK(event_short, 200, AT_ONCE)						\
	ATTACK(event_changes, 200, AT_ONCE)						\
	/* Any of those above, another one for each answer. */				\
	ATTACK(mixed, 2000, SPOILS)							\
	ATTACK(mixed_unbind, 1000, SPOILS | WHILE_USED)					\
	/* The rings themselves (bad_host_rings.c). */					\
	ATTACK(id_out_of_range, 1, SPOILS)						\
	ATTACK(id_huge, 1, SPOILS)							\
	ATTACK(id_free, 1, SPOILS)							\
	ATTACK(id_twice, 1, SPOILS)							\
	ATTACK(id_of_other, 1, SPOILS)							\
	ATTACK(idx_jump, 1, SPOILS)							\
	ATTACK(idx_back, 1, SPOILS)							\
	ATTACK(idx_run, 20, SPOILS)							\
	ATTACK(parked_twice, 1, SPOILS)							\
	ATTACK(ring_unbind, 1, SPOILS | WHILE_USED)					\
	ATTACK(control_id_wild, 1, SPOILS)						\
	ATTACK(control_len_wild, 20, AT_ONCE)						\
	ATTACK(control_kept, 1, SPOILS)							\
	ATTACK(bye_without_answer, 1, BY_PLAY)						\
	/* Control messages (bad_host_control.c). */					\
	ATTACK(port_added_again, 50, AT_ONCE)						\
	ATTACK(port_out_of_range, 50, AT_ONCE)						\
	ATTACK(port_mode_wild, 50, AT_ONCE)						\
	ATTACK(port_removed, 10, SPOILS)						\
	ATTACK(port_comes_and_goes, 30, SPOILS)						\
	ATTACK(port_names, 12, SPOILS)							\
	ATTACK(message_flood, 2000, AT_ONCE)						\
	ATTACK(message_short, 50, AT_ONCE)						\
	ATTACK(message_classic, 50, AT_ONCE)						\
	ATTACK(hello_again, 50, AT_ONCE)						\
	ATTACK(bye, 300, AT_ONCE)							\
	ATTACK(bye_storm, 300, AT_ONCE)							\
	ATTACK(bye_wild, 200, AT_ONCE)							\
	ATTACK(bye_unbind, 100, SPOILS | WHILE_USED)					\
	ATTACK(bye_before_hello, 1, AT_START)						\
	ATTACK(bye_with_hello, 1, AT_START)						\
	ATTACK(bye_to_version_2, 1, AT_START)						\
	ATTACK(hello_absent, 1, AT_START)						\
	ATTACK(hello_short, 1, AT_START)						\
	ATTACK(hello_magic, 1, AT_START)						\
	ATTACK(hello_version_0, 1, AT_START)						\
	ATTACK(hello_version_high, 1, AT_START)						\
	ATTACK(hello_twice, 1, AT_START)						\
	ATTACK(hello_small, 1, AT_START)						\
	ATTACK(hello_small_5, 1, AT_START)						\
	ATTACK(hello_large, 1, AT_START)						\
	ATTACK(hello_too_large, 1, AT_START)						\
	ATTACK(hello_one_channel, 1, AT_START)						\
	ATTACK(hello_no_channel, 1, AT_START)						\
	ATTACK(mode_absent, 1, AT_START)						\
	ATTACK(mode_short, 1, AT_START)							\
	ATTACK(mode_late, 1, AT_START)							\
	ATTACK(add_before_hello, 1, AT_START)						\
	ATTACK(ports_0, 1, AT_START)							\
	ATTACK(ports_31, 1, AT_START)							\
	ATTACK(ports_huge, 1, AT_START)

#endif
