// SPDX-License-Identifier: MIT
/* The kernel as a calling process meets it: copies, sleeps, signals, mutexes, memory. */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>

#include <linux/errno.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/clock.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "process.h"

struct task_struct standin_current;
struct pid_namespace init_pid_ns;

static bool (*play)(void);
static bool others_run, has_signal, is_killed;
static wait_queue_head_t *sleeps_in;
static unsigned int seen_wakes, yields;
static unsigned int allocs, allocs_to_fail, warnings, pinned, dirtied;
static bool is_drivers, keeps_memory;
static char last_warning[256];
static int refs;
static u64 now_ns, late_ns;

void process_reset(void)
{
	play = NULL;
	others_run = true;
	yields = 0;
	late_ns = 0;
	standin_current.prio = DEFAULT_PRIO;
	standin_current.flags = 0;
	standin_current.worker_private = NULL;
	kernel_end_signal();
	allocs_to_fail = 0;
	keeps_memory = false;
	warnings = 0;
	last_warning[0] = '\0';
	dirtied = 0;
}

/* --- Sleeping and spinning ------------------------------------------------ */

void kernel_play(bool (*step)(void))
{
	play = step;
}

void kernel_leave_alone(void)
{
	others_run = false;
}

unsigned int kernel_yields(void)
{
	return yields;
}

void kernel_run_late(unsigned int us)
{
	late_ns = us * 1000ULL;
}

void kernel_set_prio(int prio)
{
	standin_current.prio = prio;
}

bool single_task_running(void)
{
	return !others_run;
}

void yield(void)
{
	yields++;
	current->nvcsw++;
	if (play)
		play();
}

u64 local_clock(void)
{
	return now_ns += 2000;
}

void cpu_relax(void)
{
	if (play)
		play();
}

void wake_up_poll(wait_queue_head_t *head, __poll_t key)
{
	if (!head->sleepers)
		return;
	head->wakes++;
	head->key = key;
	if (head->entry)
		head->entry->func(head->entry, 0, 0, NULL);
}

int default_wake_function(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key)
{
	return 1;
}

void add_wait_queue(wait_queue_head_t *head, wait_queue_entry_t *entry)
{
	head->entry = entry;
	head->sleepers++;
	sleeps_in = head;
}

void remove_wait_queue(wait_queue_head_t *head, wait_queue_entry_t *entry)
{
	head->entry = NULL;
	head->sleepers--;
}

void set_current_state(unsigned int state)
{
	current->state = state;
	seen_wakes = sleeps_in->wakes;
}

void schedule(void)
{
	standin_sleep(sleeps_in, seen_wakes, current->state == TASK_KILLABLE);
	now_ns += late_ns;
}

int standin_sleep(wait_queue_head_t *head, unsigned int seen, bool killable_only)
{
	while (head->wakes == seen) {
		if (is_killed || (has_signal && !killable_only))
			return -ERESTARTSYS;
		if (kernel_run_work() || (play && play()) || kernel_end_timers())
			continue;
		fprintf(stderr, "a call sleeps for ever: nothing is left that could wake it\n");
		abort();
	}
	return 0;
}

void kernel_send_signal(bool is_fatal)
{
	has_signal = true;
	is_killed = is_fatal;
}

void kernel_end_signal(void)
{
	has_signal = false;
	is_killed = false;
}

bool signal_pending(struct task_struct *task)
{
	(void)task;
	return has_signal;
}

bool signal_pending_state(unsigned int state, struct task_struct *task)
{
	return is_killed || (has_signal && state == TASK_INTERRUPTIBLE);
}

bool fatal_signal_pending(struct task_struct *task)
{
	(void)task;
	return is_killed;
}

void mutex_lock(struct mutex *mutex)
{
	WARN_ON_ONCE(mutex->is_locked);
	mutex->is_locked = true;
}

bool mutex_trylock(struct mutex *mutex)
{
	bool was_locked;

	kernel_reached(KERNEL_TRYLOCK, mutex);
	was_locked = mutex->is_locked;
	mutex->is_locked = true;
	return !was_locked;
}

void mutex_unlock(struct mutex *mutex)
{
	WARN_ON_ONCE(!mutex->is_locked);
	mutex->is_locked = false;
}

/* --- Copies --------------------------------------------------------------- */

/* How many of @bytes are in memory that the process has. */
static size_t reachable(const struct iov_iter *iter, size_t bytes)
{
	size_t have = iter->fault_at > iter->iov_offset ? iter->fault_at - iter->iov_offset : 0;

	bytes = bytes < iter->count ? bytes : iter->count;
	return bytes < have ? bytes : have;
}

size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *from)
{
	bytes = reachable(from, bytes);
	memcpy(to, (char *)from->ubuf + from->iov_offset, bytes);
	iov_iter_advance(from, bytes);
	kernel_reached(KERNEL_COPY, NULL);
	return bytes;
}

/* The hook comes first: what it frees must not be what is copied. */
size_t copy_to_iter(const void *from, size_t bytes, struct iov_iter *to)
{
	kernel_reached(KERNEL_COPY, NULL);
	bytes = reachable(to, bytes);
	memcpy((char *)to->ubuf + to->iov_offset, from, bytes);
	iov_iter_advance(to, bytes);
	return bytes;
}

size_t copy_page_to_iter(struct page *page, size_t offset, size_t bytes, struct iov_iter *to)
{
	return copy_to_iter((char *)page + offset, bytes, to);
}

int pin_user_pages_fast(unsigned long start, int count, unsigned int flags, struct page **pages)
{
	int i;

	(void)flags;
	for (i = 0; i < count; i++)
		pages[i] = (struct page *)(start + i * PAGE_SIZE);
	pinned += count;
	return count;
}

void unpin_user_page_range_dirty_lock(struct page *page, unsigned long count, bool is_dirty)
{
	(void)page;
	WARN_ON_ONCE(pinned < count);
	pinned -= count;
	dirtied += is_dirty ? count : 0;
}

ssize_t iov_iter_get_pages2(struct iov_iter *iter, struct page **pages, size_t bytes,
			    unsigned int count, size_t *start)
{
	char *at = (char *)iter->ubuf + iter->iov_offset;

	if (!count || (size_t)(at - (char *)iter->ubuf) >= iter->fault_at)
		return 0;
	*start = offset_in_page(at);
	pages[0] = (struct page *)(at - *start);
	bytes = min(bytes, PAGE_SIZE - *start);
	iov_iter_advance(iter, bytes);
	pinned++;
	return bytes;
}

void put_page(struct page *page)
{
	unpin_user_page_range_dirty_lock(page, 1, false);
}

struct folio *page_folio(struct page *page)
{
	return (struct folio *)page;
}

bool folio_maybe_dma_pinned(struct folio *folio)
{
	(void)folio;
	return !is_drivers;
}

void kernel_registers_pinned(bool is_pinned)
{
	is_drivers = !is_pinned;
}

unsigned int kernel_pinned(void)
{
	return pinned;
}

unsigned int kernel_dirtied(void)
{
	return dirtied;
}

/* --- Memory and references ------------------------------------------------ */

void kernel_fail_allocs(unsigned int count)
{
	allocs_to_fail = count;
}

void kernel_keep_memory(void)
{
	keeps_memory = true;
}

bool kernel_frees(void)
{
	return !keeps_memory;
}

unsigned int kernel_allocs(void)
{
	return allocs;
}

void *standin_alloc(size_t size, bool is_zeroed)
{
	void *memory;

	allocs++;
	if (allocs_to_fail) {
		allocs_to_fail--;
		return NULL;
	}
	memory = aligned_alloc(64, (size + 63) / 64 * 64);
	return memset(memory, is_zeroed ? 0 : 0xa5, size);
}

void standin_free(void *memory)
{
	if (memory)
		memset(memory, 0x5a, malloc_usable_size(memory));
	free(memory);
}

char *kstrndup(const char *text, size_t len, gfp_t gfp)
{
	char *copy = kzalloc(len + 1, gfp);

	return copy ? memcpy(copy, text, len) : NULL;
}

void kernel_ref(int change)
{
	refs += change;
}

int kernel_refs(void)
{
	return refs;
}

struct mem_cgroup *get_mem_cgroup_from_mm(struct mm_struct *mm)
{
	(void)mm;
	kernel_ref(1);
	return NULL;
}

void mem_cgroup_put(struct mem_cgroup *group)
{
	(void)group;
	kernel_ref(-1);
}

int xa_alloc_cyclic_irq(struct xarray *xa, u32 *index, void *entry, struct xa_limit limit,
			u32 *next, gfp_t gfp)
{
	u32 i;

	(void)next;
	(void)gfp;
	for (i = limit.min; i <= limit.max && i < XARRAY_SLOTS; i++) {
		if (xa->slots[i])
			continue;
		xa->slots[i] = entry;
		*index = i;
		return 0;
	}
	return -EBUSY;
}

void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, int filter)
{
	(void)filter;
	for (; *index < XARRAY_SLOTS && *index <= max; ++*index)
		if (xa->slots[*index])
			return xa->slots[*index];
	return NULL;
}

/* --- The log -------------------------------------------------------------- */

void standin_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last_warning, sizeof(last_warning), format, args);
	va_end(args);
	warnings++;
}

unsigned int kernel_warnings(void)
{
	return warnings;
}

const char *kernel_last_warning(void)
{
	return last_warning;
}
