/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * The version of all that belongs to manyport. This is the one place for it: programs, module,
 * DKMS, pkg-config and Debian's packages take it from here.
 */
#ifndef MANYPORT_VERSION_H
#define MANYPORT_VERSION_H

#define MANYPORT_VERSION "0.1"

#endif
