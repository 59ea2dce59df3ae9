# SPDX-License-Identifier: MIT
# manyport: host programs, guest tools, tests. The guest module has its own
# makefile in kmod/. Everything that is built goes below $(O).

O ?= build
SAN ?=
CC ?= gcc
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -Iinclude -Ihost -Ilib -MMD -MP \
	-fstack-protector-strong -fno-strict-aliasing $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))

HOST_SRC := $(filter-out host/daemon/main.c,$(wildcard host/*/*.c))
HOST_OBJ := $(HOST_SRC:%.c=$(O)/%.o)
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))
LIB_OBJ := $(patsubst %.c,$(O)/%.o,$(wildcard lib/*.c))

all: $(O)/manyportd $(O)/manyport

$(O)/manyportd: $(O)/host/daemon/main.o $(O)/libhost.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -linih
# The guest command is static: it runs in any guest, whatever its C library.
$(O)/manyport: $(patsubst %.c,$(O)/%.o,$(wildcard tools/manyport/*.c)) $(LIB_OBJ)
	$(CC) $(ALL_LDFLAGS) $(if $(SAN),,-static) -o $@ $^

$(O)/libhost.a: $(HOST_OBJ)
	rm -f $@ && ar rcs $@ $^

unit: $(UNIT)
$(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/libhost.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka -linih

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

clean:
	rm -rf $(O)

.PHONY: all unit clean
.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)
