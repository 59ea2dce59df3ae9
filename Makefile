# SPDX-License-Identifier: MIT
# manyport: host programs, guest tools, tests. The guest module has its own
# makefile in kmod/. Everything that is built goes below $(O).

O ?= build
SAN ?=
ifeq ($(origin CC),default)
CC := gcc
endif
JOBS ?= $(shell nproc)
TOP := .
include flags.mk

HOST_SRC := $(filter-out host/daemon/main.c,$(wildcard host/*/*.c))
HOST_OBJ := $(HOST_SRC:%.c=$(O)/%.o)
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c tests/unit/kernel/test_*.c))
LIB_OBJ := $(patsubst %.c,$(O)/%.o,$(wildcard lib/*.c))
# What manyport run loads into a program.
PRELOAD_OBJ := $(patsubst %.c,$(O)/preload/%.o,$(notdir $(wildcard preload/*.c)) \
	lib/channel.c lib/explain.c lib/port.c)

all: $(O)/manyportd $(O)/manyport $(O)/manyport-run.so $(O)/libmanyport.a $(O)/libmanyport.so.0 \
	$(O)/manyport-vtest

$(O)/manyportd: $(O)/host/daemon/main.o $(O)/libhost.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lsystemd
# The guest command is static: it runs in any guest, whatever its C library. Its loop, lists, log
# and listening sockets are the daemon's.
$(O)/manyport: $(patsubst %.c,$(O)/%.o,$(wildcard tools/manyport/*.c)) $(LIB_OBJ) $(O)/libhost.a
	$(CC) $(ALL_LDFLAGS) $(if $(SAN),,-static) -o $@ $^

# A service's program, of the host; the channel is its standard input.
$(O)/manyport-vtest: $(patsubst %.c,$(O)/%.o,$(wildcard tools/vtest/*.c))
	$(CC) $(ALL_LDFLAGS) -o $@ $^

# Only the calls that the library stands in front of can be seen in it.
$(O)/preload/%.o: ALL_CFLAGS += -fPIC -fvisibility=hidden
$(O)/preload/lib/%.o: ALL_CFLAGS += -DMANYPORT_NODE_ONLY
$(O)/preload/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<
$(O)/manyport-run.so: $(PRELOAD_OBJ)
	$(CC) $(ALL_LDFLAGS) -shared -o $@ $^

# The library for programs of the guest, for each kind of linking.
$(O)/lib/%.o: ALL_CFLAGS += -fPIC
$(O)/libmanyport.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^
$(O)/libmanyport.so.0: $(LIB_OBJ) lib/libmanyport.map
	$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$(@F),--version-script=lib/libmanyport.map \
		-o $@ $(LIB_OBJ)

$(O)/libhost.a: $(HOST_OBJ)
	rm -f $@ && ar rcs $@ $^

unit: $(UNIT)
# The command's forward, with channels that the tests play.
FORWARD := drain flow forward listener refused relay spec stock
$(O)/tests/unit/test_forward $(O)/tests/unit/test_forward_listen: \
	$(FORWARD:%=$(O)/tools/manyport/%.o) $(O)/lib/explain.o
# A wait of the forwarder, seen by the test.
$(O)/tests/unit/test_forward_listen: ALL_LDFLAGS += -Wl,--wrap=poll
# The command's connect, and another process that reads the same input just before it does.
CONNECT := connect copy refused stock
$(O)/tests/unit/test_connect: $(CONNECT:%=$(O)/tools/manyport/%.o) $(O)/lib/explain.o
$(O)/tests/unit/test_connect: ALL_LDFLAGS += -Wl,--wrap=poll
# The library, with a kernel that the test plays.
$(O)/tests/unit/test_client: $(LIB_OBJ)
$(O)/tests/unit/test_client: ALL_LDFLAGS += -Wl,--wrap=ioctl,--wrap=pwritev2,--wrap=poll
# What manyport run finds out of a program before it starts it.
$(O)/tests/unit/test_program: $(O)/tools/manyport/program.o
# The opener that manyport serve tells the host of.
$(O)/tests/unit/test_serve_naming: $(O)/tools/manyport/serve_naming.o
# What a vtest client says.
$(O)/tests/unit/test_vtest_commands: $(O)/tools/vtest/commands.o
# Its node, with a kernel and channels that the test plays.
$(O)/tests/unit/test_serve_node: $(O)/tools/manyport/serve_node.o
# The library of manyport run, on a port that the test plays.
$(O)/tests/unit/test_preload $(O)/tests/unit/test_preload_calls: $(PRELOAD_OBJ)
$(O)/tests/unit/test_preload $(O)/tests/unit/test_preload_calls: ALL_LDFLAGS += -Wl,--wrap=ioctl
# The channel core alone, under a binding that the test brings: it needs no ring, memory or device.
CHANNEL_OBJ := $(filter $(O)/host/base/% $(O)/host/channel/%,$(HOST_OBJ))
$(O)/tests/unit/test_channel_binding: $(O)/tests/unit/test_channel_binding.o $(CHANNEL_OBJ)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka
# A process that there is no descriptor for; and a spawner that is slow.
$(O)/tests/unit/test_handover_exec: ALL_LDFLAGS += -Wl,--wrap=pidfd_open,--wrap=poll
# The order in which the device publishes its rings, seen by the test.
$(O)/tests/unit/test_device_publish: ALL_LDFLAGS += -Wl,--wrap=ring_publish
# Where the test ends a process: before and behind each of these.
$(O)/tests/unit/test_vhost_kept: ALL_LDFLAGS += -Wl,--wrap=message_take,--wrap=message_send \
	-Wl,--wrap=request_act,--wrap=mem_add,--wrap=mem_remove,--wrap=ring_start,--wrap=ring_stop
$(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/libhost.a
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(O)/libhost.a -lcmocka -lsystemd

# A program that knows nothing of channels, for manyport run.
$(O)/tests/recipes/sockets: $(O)/tests/recipes/sockets.o
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# --- Running it. These install what they need.

WORLD ?= qemu
PACKAGES := tests/world/packages

# INSTALLED=1: with what is installed, as by the packages, in place of what is built here.
demo:
	$(PACKAGES) build kernel world demo
	$(if $(INSTALLED),,$(MAKE) all)
	O=$(O) INSTALLED=$(INSTALLED) $(if $(INSTALLED),PREFIX=$(PREFIX)) demo/run $(WORLD)

demo-gl:
	$(PACKAGES) build kernel world gl
	$(MAKE) all
	O=$(O) demo/gl/run $(WORLD)

shell:
	$(PACKAGES) build kernel world
	$(MAKE) all
	O=$(O) demo/shell $(WORLD)

check test test-all test-programs: export WERROR := 1

# Seconds, for every commit (it says what it lacks, and installs nothing); what CI runs; the rest,
# hours on a small machine.
check:
	$(PACKAGES) --need build test
	$(MAKE) all unit
	O=$(O) tests/run check

test: test-programs
	O=$(O) tests/run test

test-all: test-programs
	O=$(O) tests/run all

# The daemon that serves the guest tests is built with sanitizers.
test-programs:
	$(PACKAGES) build kernel world test demo gl
	$(MAKE) -j$(JOBS) all unit guest-tests counters bench-programs peer $(O)/tests/recipes/sockets
	$(MAKE) -j$(JOBS) O=$(O)/asan SAN=address,undefined all unit peer
	$(MAKE) -j$(JOBS) O=$(O)/tsan SAN=thread unit $(O)/tsan/manyportd
	mkdir -p $(O)/guest-asan
	ln -sfn ../asan/manyportd $(O)/guest-asan/manyportd
	ln -sfn ../manyport $(O)/guest-asan/manyport
	ln -sfn ../tests $(O)/guest-asan/tests

peer: $(O)/libhost.a
	$(MAKE) -C tests/peer O=$(abspath $(O))
	$(MAKE) -C tests/peer O=$(abspath $(O)) ends guest survive
	$(MAKE) -C tests/peer O=$(abspath $(O)) bad-host bad-stream

clean:
	rm -rf $(O)

.PHONY: all unit demo demo-gl shell check test test-all test-programs peer clean
.SECONDARY:

include packaging/install.mk
include tests/unit/kernel/Makefile
include tests/guest/Makefile
include tests/counters/Makefile
include bench/Makefile

-include $(shell find $(O) -name deb -prune -o -name '*.d' -type f -print 2>/dev/null)
