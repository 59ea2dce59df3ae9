# SPDX-License-Identifier: MIT
# How C is compiled here: the one set of flags for all makefiles but the module's, which takes
# the kernel's. The including makefile says where TOP is, and $(SAN) which sanitizers it wants.

WERROR ?=
# A newer compiler may warn of more: only the tests make errors of warnings.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
CFLAGS ?= -O2 -g
# A sanitizer sees less of what _FORTIFY_SOURCE has replaced.
HARDEN := -fstack-protector-strong -fstack-clash-protection \
	$(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -I$(TOP)/include -I$(TOP)/host \
	-I$(TOP)/lib -MMD -MP $(HARDEN) -fno-strict-aliasing \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) \
	$(if $(findstring thread,$(SAN)),-Wno-tsan)
ALL_LDFLAGS = $(LDFLAGS) -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))
