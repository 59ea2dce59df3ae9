// SPDX-License-Identifier: MIT
/*
 * PID 1 of a test guest: sets the guest up, runs one command, unloads the
 * modules, and writes the verdict.
 *
 * The boot script puts the orders into /world of the initramfs:
 *	nonce     a word that the verdict must carry
 *	insmod    modules of the world itself, a path per line
 *	modules   modules under test, per line a path and after the path the parameters
 *	wait      files that must be there before the command starts, a path per line
 *	argv      the command, each argument ended by a NUL
 *	environ   the command's environment, each variable ended by a NUL
 * init reads and removes these files before the command runs, so that the command
 * cannot forge the verdict.
 *
 * Each stream has its own serial port: ttyS0 (the kernel's log in QEMU, unused
 * in User Mode Linux), and then, in this order, the command's input and
 * output, the command's errors, and the verdict.  world_ports=N on the kernel's
 * command line is the number of the first of these three.
 *
 * The verdict is one line, "NONCE exit=STATUS" or "NONCE fault=WHAT FAILED".
 * No verdict means that the guest broke down.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "links.h"
#include "watch.h"

#define MAX_WORDS 256
#define UNLOAD_SECONDS 30
#define WAIT_SECONDS 60
#define LEAK_AGE_SECONDS 6	/* kmemleak ignores what is younger than 5 */

enum port { PORT_COMMAND, PORT_ERRORS, PORT_VERDICT, PORT_COUNT };

static int ports[PORT_COUNT] = { -1, -1, -1 };
static char *nonce;

/* world_reboot=yes is for a guest that has slept, which QEMU does not power off, but resets. */
static void power_off(void)
{
	sync();
	reboot(getenv("world_reboot") ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		pause();
}

/* Writes the verdict and ends the guest.  No other function writes a verdict. */
static void __attribute__((noreturn, format(printf, 1, 2)))
give_verdict(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	dprintf(ports[PORT_VERDICT], "%s ", nonce ? nonce : "none");
	vdprintf(ports[PORT_VERDICT], format, args);
	dprintf(ports[PORT_VERDICT], "\n");
	va_end(args);

	for (int i = 0; i < PORT_COUNT; i++)
		tcdrain(ports[i]);
	power_off();
	__builtin_unreachable();
}

static void __attribute__((noreturn)) fault(const char *doing, const char *what)
{
	give_verdict("fault=%s %s: %s", doing, what, strerror(errno));
}

/* Reads a whole file and adds a NUL; *len_r does not count the NUL. */
static char *read_file(const char *path, size_t *len_r)
{
	size_t size = 4096, len = 0;
	char *text = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t ret;

	if (fd < 0 || !text)
		fault("read", path);
	while ((ret = read(fd, text + len, size - len - 1)) > 0) {
		len += ret;
		if (len < size - 1)
			continue;
		size *= 2;
		text = realloc(text, size);
		if (!text)
			fault("read", path);
	}
	if (ret < 0)
		fault("read", path);
	close(fd);
	text[len] = '\0';
	if (len_r)
		*len_r = len;
	return text;
}

static char *take_file(const char *path, size_t *len_r)
{
	char *text = read_file(path, len_r);

	unlink(path);
	return text;
}

/* Reads and removes a file of NUL-ended words. The list ends with a NULL. */
static char **take_words(const char *path)
{
	char **words = calloc(MAX_WORDS + 1, sizeof(*words));
	size_t count = 0, len;
	char *text = take_file(path, &len);

	for (char *word = text; word < text + len; word += strlen(word) + 1) {
		if (!words || count == MAX_WORDS)
			give_verdict("fault=too many words in %s", path);
		words[count++] = word;
	}
	return words;
}

static void mount_at(const char *type, const char *path, const char *options,
		     bool optional)
{
	mkdir(path, 0755);
	if (mount(type, path, type, 0, options) && !optional && errno != EBUSY)
		fault("mount", path);
}

static void mount_all(void)
{
	mount_at("devtmpfs", "/dev", "mode=0755", false);
	mount_at("proc", "/proc", NULL, false);
	mount_at("sysfs", "/sys", NULL, false);
	mount_at("debugfs", "/sys/kernel/debug", NULL, true);
	mount_at("devpts", "/dev/pts", "ptmxmode=0666", true);
	mount_at("tmpfs", "/dev/shm", "mode=1777", false);
	mount_at("tmpfs", "/tmp", "mode=1777", false);
	mount_at("tmpfs", "/run", "mode=0755", false);
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

/*
 * In User Mode Linux /host is a folder of the host. The boot script gives a guest of QEMU a copy
 * instead, and leaves world_host out.
 */
static void mount_host_folder(void)
{
	const char *folder = getenv("world_host");

	mkdir("/host", 0755);
	if (folder && mount("none", "/host", "hostfs", MS_RDONLY, folder))
		fault("mount", "/host");
}

static void open_ports(void)
{
	const char *first = getenv("world_ports");
	struct termios modes;
	char path[32];

	for (int i = 0; i < PORT_COUNT; i++) {
		snprintf(path, sizeof(path), "/dev/ttyS%d",
			 (first ? atoi(first) : 1) + i);
		ports[i] = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (ports[i] < 0 || tcgetattr(ports[i], &modes))
			continue;
		cfmakeraw(&modes);
		modes.c_cflag |= CLOCAL;
		tcsetattr(ports[i], TCSANOW, &modes);
	}
	if (ports[PORT_VERDICT] < 0)
		power_off();
}

static void bring_loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		fault("bring up", "lo");
	close(fd);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			dprintf(ports[PORT_ERRORS], "init: %s: %m\n", path);
		close(fd);
	}
}

static void load_module(const char *path, const char *params)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, params, 0))
		fault("load", path);
	close(fd);
}

/*
 * Loads the modules of a list.  Stores the modules' names, as delete_module()
 * takes them, in @loaded unless @loaded is NULL.
 */
static void load_modules(char *list, char **loaded)
{
	char *line, *params, *base, *c;

	while ((line = strsep(&list, "\n"))) {
		if (!*line)
			continue;
		params = strchr(line, ' ');
		if (params)
			*params++ = '\0';
		load_module(line, params ? params : "");
		if (!loaded)
			continue;
		base = strrchr(line, '/');
		base = base ? base + 1 : line;
		base[strcspn(base, ".")] = '\0';
		for (c = base; *c; c++)
			*c = *c == '-' ? '_' : *c;
		*loaded++ = base;
	}
}

/* A port's node appears when the device has announced the port, after the module is loaded. */
static void wait_for_paths(char *list)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	int rounds = WAIT_SECONDS * 100;
	char *path;

	while ((path = strsep(&list, "\n"))) {
		while (*path && access(path, F_OK)) {
			if (!rounds--)
				fault("find", path);
			nanosleep(&pause, NULL);
		}
	}
}

static void unload_module(const char *name)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	for (int i = 0; i < UNLOAD_SECONDS * 50; i++) {
		if (!syscall(SYS_delete_module, name, O_NONBLOCK))
			return;
		if (errno == ENOENT)	/* the command has unloaded the module */
			return;
		if (errno != EAGAIN && errno != EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	fault("unload", name);
}

static void unload_modules(char **loaded)
{
	int count = 0;

	while (loaded[count])
		count++;
	while (count--)
		unload_module(loaded[count]);
}

/* Makes @fd the child's controlling terminal, with the size of the host's terminal. */
static void become_terminal(int fd)
{
	const char *size = getenv("world_terminal");
	struct winsize window = { 0 };
	struct termios modes;

	ioctl(fd, TIOCSCTTY, 1);
	if (size && sscanf(size, "%hux%hu", &window.ws_row, &window.ws_col) == 2
	    && window.ws_row && window.ws_col)
		ioctl(fd, TIOCSWINSZ, &window);
	if (tcgetattr(fd, &modes))
		return;
	modes.c_iflag |= ICRNL | IXON;
	modes.c_oflag |= OPOST | ONLCR;
	modes.c_lflag |= ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN;
	tcsetattr(fd, TCSANOW, &modes);
}

static void __attribute__((noreturn)) run_child(char **argv, char **env)
{
	bool terminal = getenv("world_terminal");
	int output = ports[PORT_COMMAND];
	int input = terminal ? output : open("/dev/null", O_RDONLY);
	int errors = terminal ? output : ports[PORT_ERRORS];

	setsid();
	if (terminal)
		become_terminal(output);
	dup2(input, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(errors, STDERR_FILENO);
	if (input > STDERR_FILENO && !terminal)
		close(input);
	environ = env;
	execvp(argv[0], argv);
	fprintf(stderr, "init: cannot run %s: %m\n", argv[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Runs the command to its end. Returns the command's status, or 128 + n after signal n. */
static int run_command(char **argv, char **env)
{
	int status;
	pid_t child, ended;

	child = fork();
	if (child < 0)
		fault("fork for", argv[0]);
	if (!child)
		run_child(argv, env);
	do {
		ended = wait(&status);
		if (ended < 0 && errno != EINTR)
			fault("wait for", argv[0]);
	} while (ended != child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A process that the command left could hold the module, and unloading would fail. */
static void end_all_processes(void)
{
	kill(-1, SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

/* Writes one line into the kernel's log, by write(): kmsg refuses to seek, as dprintf() does. */
static void log_line(const char *line)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "<4>kmemleak: %s\n", line);
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	if (log < 0 || write(log, text, len) != len)
		fault("write to", "/dev/kmsg");
	close(log);
}

/*
 * Puts kmemleak's report into the kernel's log, where the boot script finds the report.
 * kmemleak ignores young memory, so the first scan is LEAK_AGE_SECONDS after the last
 * module was unloaded. The first scan notes memory without a reference; the second
 * scan reports the memory that has not changed since the first.
 */
static void report_leaks(void)
{
	static const char path[] = "/sys/kernel/debug/kmemleak";
	char *report, *line;

	if (getenv("world_leaks") || access(path, W_OK))
		return;
	sleep(LEAK_AGE_SECONDS);
	write_file(path, "scan");
	write_file(path, "scan");
	report = read_file(path, NULL);
	while ((line = strsep(&report, "\n")))
		if (*line)
			log_line(line);
}

int main(void)
{
	char *loaded[MAX_WORDS + 1] = { 0 };
	char *insmod, *modules, *wait_list, **argv, **env;
	int limit, status;

	umask(022);
	mount_all();
	open_ports();
	limit = getenv("world_limit") ? atoi(getenv("world_limit")) : 0;
	nonce = take_file("/world/nonce", NULL);
	nonce[strcspn(nonce, "\n")] = '\0';
	mount_host_folder();
	bring_loopback_up();
	write_file("/proc/sys/kernel/hostname", "guest");

	insmod = take_file("/world/insmod", NULL);
	modules = take_file("/world/modules", NULL);
	wait_list = take_file("/world/wait", NULL);
	argv = take_words("/world/argv");
	env = take_words("/world/environ");

	if (links_start() || watch_start(limit))
		fault("start", "helpers");
	load_modules(insmod, NULL);
	load_modules(modules, loaded);
	wait_for_paths(wait_list);
	if (chdir("/manyport"))
		fault("enter", "/manyport");
	status = run_command(argv, env);
	if (chdir("/"))
		fault("enter", "/");
	end_all_processes();
	if (watch_start(limit))
		fault("start", "helpers");
	unload_modules(loaded);
	report_leaks();
	give_verdict("exit=%d", status);
}
