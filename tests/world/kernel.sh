# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
#
# The functions by which uml-kernel and smp-kernel make a kernel from Debian's
# linux-source-6.1; both scripts source this file after lib.sh.  Before a caller uses the
# functions, it sets MAKE_ARCH to make's "ARCH=..." and enters the folder of the source.

# The key of a kernel: a hash of all its sources.
kernel_key()
{
	hash_of "$(installed_version linux-source-6.1)" \
		"$(gcc -dumpfullversion)" "$world_dir/kernel.sh" "$@"
}

unpack_source()
{
	mkdir "$1"
	tar -xf /usr/src/linux-source-6.1.tar.xz -C "$1" --strip-components=1
}

# Applies fragments to .config; fails when olddefconfig changes an option that a fragment sets.
configure_kernel()
{
	local line name lost=0

	scripts/kconfig/merge_config.sh -m .config "$@"
	make "$MAKE_ARCH" olddefconfig
	while IFS= read -r line; do
		case $line in
		CONFIG_*)
			grep -qxF "$line" .config && continue ;;
		'# CONFIG_'*' is not set')
			name=${line#'# '}
			grep -q "^${name%% *}=" .config || continue ;;
		*)
			continue ;;
		esac
		echo "configuration line has no effect: $line"
		lost=1
	done < <(last_settings "$@")
	return "$lost"
}

# The last setting of each option in the given fragments.
last_settings()
{
	awk 'match($0, /CONFIG_[A-Z0-9_a-z]+/) &&
		/^(# )?CONFIG_[A-Z0-9_a-z]+(=| is not set)/ {
			last[substr($0, RSTART, RLENGTH)] = $0
		}
		END { for (name in last) print last[name] }' "$@"
}

# make_modules FOLDER: FOLDER/modules and FOLDER/release
make_modules()
{
	local out=$1

	make "$MAKE_ARCH" modules_install \
		INSTALL_MOD_PATH="$out/install" INSTALL_MOD_STRIP=1
	make -s "$MAKE_ARCH" kernelrelease >"$out/release"
	mv "$out/install/lib/modules/$(cat "$out/release")" "$out/modules"
	rm -rf "$out/install" "$out/modules/build" "$out/modules/source"
}

# keep_build_tree FOLDER ARCH...: what "make -C FOLDER M=... modules" reads.
keep_build_tree()
{
	local out=$1 arch

	shift
	mkdir -p "$out/tools"
	cp .config Module.symvers Makefile "$out/"
	cp -a scripts include "$out/"
	for arch; do
		mkdir -p "$out/arch/$arch"
		cp -a "arch/$arch/"Makefile* "arch/$arch/include" \
			"$out/arch/$arch/"
	done
	mkdir -p "$out/arch/x86/um"
	cp -a arch/x86/um/asm arch/x86/um/shared "$out/arch/x86/um/"
	if [ -e tools/objtool/objtool ]; then
		install -D tools/objtool/objtool "$out/tools/objtool/objtool"
	fi
	find "$out" \( -name '*.o' -o -name '.*.cmd' \) -delete
	rm -rf "$out"/scripts/{dtc,gcc-plugins} "$out/include/dt-bindings"
}
