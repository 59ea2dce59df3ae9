# SPDX-License-Identifier: MIT
# make install: all files, as the packages have them (debian/*.install says which package has which).
# make deb: the packages. Included by the Makefile of the project's root.

PREFIX ?= /usr/local
# Debian has a folder for each architecture: LIBDIR=/usr/lib/x86_64-linux-gnu.
LIBDIR ?= $(PREFIX)/lib
VERSION := $(shell sed -n 's/^.define MANYPORT_VERSION "\(.*\)"/\1/p' include/manyport/version.h)

# A file of packaging/, into a folder below the prefix. Those name the programs as a package for
# /usr would have them.
define install_naming
install -d $(DESTDIR)$(PREFIX)/$(2)
sed 's,/usr/sbin/manyportd,$(PREFIX)/sbin/manyportd,; s,/usr/bin/manyport,$(PREFIX)/bin/manyport,' \
	'packaging/$(1)' \
	>'$(DESTDIR)$(PREFIX)/$(2)/$(1)'
chmod 644 '$(DESTDIR)$(PREFIX)/$(2)/$(1)'
endef

# A file, into a place below the prefix.
install_file = install -D -m $(1) $(2) $(DESTDIR)$(PREFIX)/$(3)
# What the tree does not know before: version, prefix and folders.
fill_in = sed 's,\#MODULE_VERSION\#,$(VERSION),; s,@VERSION@,$(VERSION),; s,@PREFIX@,$(PREFIX),; s,@LIBDIR@,$(LIBDIR),'

install: install-host install-guest install-library install-module

install-host: all
	# Its user may not read it, so the kernel starts it not dumpable: see docs/security.md.
	$(call install_file,711,$(O)/manyportd,sbin/manyportd)
	$(call install_file,755,$(O)/manyport-vtest,sbin/manyport-vtest)
	$(call install_file,644,man/manyportd.8,share/man/man8/manyportd.8)
	$(call install_file,644,man/manyport-vtest.8,share/man/man8/manyport-vtest.8)
	$(call install_file,644,packaging/manyportd.conf.example,share/doc/manyportd/examples/manyportd.conf)
	$(call install_file,644,packaging/opengl.conf,share/doc/manyportd/examples/opengl.conf)
	$(call install_file,644,CHANGES,share/doc/manyportd/CHANGES)
	$(call install_file,644,packaging/manyportd.sysusers,lib/sysusers.d/manyportd.conf)
	$(call install_file,644,packaging/completions/manyportd,share/bash-completion/completions/manyportd)
	$(call install_naming,50-manyportd.json,share/qemu/vhost-user)
	$(call install_naming,manyportd@.service,lib/systemd/system)

install-guest: all
	$(call install_file,755,$(O)/manyport,bin/manyport)
	$(call install_file,644,$(O)/manyport-run.so,lib/manyport/manyport-run.so)
	$(call install_file,644,man/manyport.1,share/man/man1/manyport.1)
	$(call install_file,644,CHANGES,share/doc/manyport/CHANGES)
	$(call install_file,644,packaging/90-manyport.rules,lib/udev/rules.d/90-manyport.rules)
	$(call install_file,644,packaging/completions/manyport,share/bash-completion/completions/manyport)
	$(call install_naming,manyport-serve.service,lib/systemd/system)

PUBLIC_HEADERS := client.h ioctl.h qemu_pipe.h version.h
install-library: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include/manyport
	install -m 644 $(O)/libmanyport.a $(DESTDIR)$(LIBDIR)/
	install -m 644 $(O)/libmanyport.so.0 $(DESTDIR)$(LIBDIR)/libmanyport.so.0.$(VERSION)
	ln -sf libmanyport.so.0.$(VERSION) $(DESTDIR)$(LIBDIR)/libmanyport.so.0
	ln -sf libmanyport.so.0 $(DESTDIR)$(LIBDIR)/libmanyport.so
	install -m 644 $(PUBLIC_HEADERS:%=include/manyport/%) $(DESTDIR)$(PREFIX)/include/manyport/
	$(fill_in) packaging/libmanyport.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/libmanyport.pc

# For DKMS, which needs no more than the kernel's headers. What a build left in kmod/ stays there.
MODULE_SOURCE = $(DESTDIR)$(PREFIX)/src/manyport-$(VERSION)
MODULE_HEADERS := ioctl.h share.h spin.h version.h wire.h wire_check.h
install-module:
	install -d $(MODULE_SOURCE)/kmod/probe $(MODULE_SOURCE)/include/manyport
	install -m 644 kmod/Kbuild kmod/Makefile $(filter-out %.mod.c,$(wildcard kmod/*.[ch])) \
		$(MODULE_SOURCE)/kmod/
	install -m 644 kmod/probe/*.c $(MODULE_SOURCE)/kmod/probe/
	install -m 644 $(MODULE_HEADERS:%=include/manyport/%) $(MODULE_SOURCE)/include/manyport/
	$(fill_in) kmod/dkms.conf >$(MODULE_SOURCE)/dkms.conf
	$(call install_file,644,docs/packaging.md,share/doc/manyport-dkms/packaging.md)
	$(call install_file,755,packaging/initramfs/hook,share/initramfs-tools/hooks/manyport)
	$(call install_file,644,packaging/initramfs/dracut.conf,lib/dracut/dracut.conf.d/50-manyport.conf)

# --- Debian's packages: built in a copy of what git knows, so the tree stays as it is.

deb:
	$(PACKAGES) build deb
	O=$(O) packaging/make-deb

.PHONY: install install-host install-guest install-library install-module deb
