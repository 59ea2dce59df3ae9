# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts of this folder share; they source it, it prints nothing.
#
# The cache ($MANYPORT_CACHE, else .cache/ in the project's root) holds one
# folder per thing, NOUN-KEY, where the key is a hash of all that the thing is
# made from.  A folder is built under another name and renamed when it is
# whole, so a folder that exists is complete; a lock per name makes a second
# caller wait instead of building it again.

# "set -e" also inside of $(...)
shopt -s inherit_errexit

world_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project_dir=$(cd "$world_dir/../.." && pwd)
cache_dir=${MANYPORT_CACHE:-$project_dir/.cache}
self=$(basename "$0")

say()
{
	echo "$self: $*" >&2
}

# die [-STATUS] MESSAGE
die()
{
	local status=1

	case $1 in
	-[0-9]*)
		status=${1#-}
		shift ;;
	esac
	say "$*"
	exit "$status"
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# A short hash of the arguments: of a file's content where the argument names
# a file, else of the argument itself.  A script's comments do not count.
hash_of()
{
	local arg

	for arg; do
		case $arg in
		*.c | *.h | *.config | *.patch)
			cat "$arg" ;;
		*)
			if [ -f "$arg" ]; then
				sed '/^[[:space:]]*#/d' "$arg"
			else
				printf '%s\n' "$arg"
			fi ;;
		esac
	done | sha256sum | cut -c1-12
}

# cached NOUN KEY BUILDER [ARG...]: prints the folder NOUN-KEY of the cache.
# Where it is missing, calls BUILDER FOLDER [ARG...] to fill an empty folder;
# what the builder prints goes to a log, which is shown when it fails.
cached()
{
	local noun=$1 key=$2 dir="$cache_dir/$1-$2"

	shift 2
	if [ -d "$dir" ]; then
		touch "$dir"
		echo "$dir"
		return
	fi
	mkdir -p "$cache_dir"
	exec 9>"$cache_dir/.$noun-$key.lock"
	flock 9
	if [ ! -d "$dir" ]; then
		make_cached "$noun" "$dir" "$@"
	fi
	exec 9>&-
	echo "$dir"
}

make_cached()
{
	local noun=$1 dir=$2 builder=$3 log="$2.log" begin=$SECONDS
	local tmp ignored

	shift 3
	# Bash ignores "set -e" in all that is called from an if, && or ||:
	# a builder would go on after an error, and its result be kept.
	ignored=$(trap 'exit 0' EXIT; false; echo yes)
	if [ "$ignored" ]; then
		die "cached: called from a condition"
	fi
	say "making $noun (once; log: $log)"
	tmp=$(mktemp -d "$cache_dir/.making-$noun.XXXXXX")
	chmod 755 "$tmp"
	"$builder" "$tmp" "$@" >"$log" 2>&1 9>&- &
	if ! wait $!; then
		tail -n 30 "$log" >&2
		as_root rm -rf "$tmp"
		die "could not make $noun, see $log"
	fi
	mv "$tmp" "$dir"
	remove_unused "$noun"
	say "made $noun in $((SECONDS - begin)) s"
}

# Removes folders of that noun which were not asked for during a week.
remove_unused()
{
	find "$cache_dir" -maxdepth 1 -name "$1-*" -mtime +7 -print0 |
		as_root xargs -0 -r rm -rf
}

# The mirror that this machine's apt uses for Debian itself.
debian_mirror()
{
	local uri

	# shellcheck disable=SC2016 # apt's placeholders, not the shell's
	uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian|Debian|//p' | grep -m1 '^https\?://' || true)
	uri=${uri:-http://deb.debian.org/debian}
	echo "${uri%/}"
}

# Version of an installed package, nothing when it is not installed.
installed_version()
{
	dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' "$1" 2>/dev/null |
		sed -n 's/^ii *//p'
}

# recent DAYS NAME COMMAND...: what COMMAND prints, remembered for that long.
recent()
{
	local days=$1 file="$cache_dir/.recent-$2"

	shift 2
	if [ -z "$(find "$file" -mmin "-$((days * 1440))" 2>/dev/null)" ]; then
		mkdir -p "$cache_dir"
		"$@" >"$file.$$"
		mv "$file.$$" "$file"
	fi
	cat "$file"
}

# The folder of a world's kernel.
kernel_of()
{
	case $1 in
	qemu) "$world_dir/cloud-kernel" ;;
	trixie) "$world_dir/trixie-kernel" ;;
	uml) "$world_dir/uml-kernel" plain ;;
	uml-debug) "$world_dir/uml-kernel" debug ;;
	uml-newest) "$world_dir/uml-newest-kernel" ;;
	smp-debug) "$world_dir/smp-kernel" ;;
	*) die -2 "unknown world '$1': qemu, trixie, uml, uml-debug, uml-newest or smp-debug" ;;
	esac
}

# debian_folder SUITE FOLDER PACKAGE...: a small Debian of that suite with these
# packages and what they depend on, without what they only recommend.
debian_folder()
{
	local suite=$1 root=$2 script packages

	shift 2
	# Debian 12's debootstrap does not know every newer name; all suites
	# since bookworm are made the same way.
	script=/usr/share/debootstrap/scripts/$suite
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	packages=$(IFS=,; echo "$*")
	as_root debootstrap --variant=minbase --include="$packages" \
		"$suite" "$root" "$(debian_mirror)" "$script"
}

forky_folder()
{
	debian_folder forky "$@"
}

# chroot_make ROOT DIRECTORY [ARGUMENT...]: make in a directory of a folder that
# debian_folder has made, with the folder's own tools.
chroot_make()
{
	local root=$1 dir=$2

	shift 2
	# The compiler's tools read /proc; it is mounted for them alone.
	# shellcheck disable=SC2016 # for the inner shell
	as_root unshare --mount sh -c \
		'mount -t proc proc "$1/proc" && exec chroot "$@"' sh \
		"$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		make -C "$dir" -j"$(nproc)" "$@" 2>&1
}
