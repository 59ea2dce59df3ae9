# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The functions that the scripts of this folder share. The scripts source this
# file, which prints nothing.
#
# The cache ($MANYPORT_CACHE, else .cache/ in the project's root) holds one
# folder per thing, NOUN-KEY, where the key is a hash of all the thing's
# sources.  A builder fills a folder of another name, which is renamed when the builder
# has succeeded, so a folder that exists is complete. A lock per name makes a second
# caller wait while the first builds.

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

# A short hash of the arguments: of a file's content if the argument names
# a file, else of the argument itself.  Comments of a script do not change the hash; comments
# of *.c, *.h, *.config and *.patch do.
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
# If the folder is missing, calls BUILDER FOLDER [ARG...] to fill an empty folder.
# The builder's output goes to a log, which is shown when the builder fails.
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
	# Bash ignores "set -e" in every function that is called from an if, && or ||:
	# the builder would go on after an error, and the cache would keep a broken folder.
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

# Removes the folders of a noun that no caller asked for during a week.
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

is_debian_12()
{
	grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release
}

# debian_12_apt get|cache ARGUMENT...: apt-get or apt-cache with the packages of Debian 12, whose kernel most
# worlds have: by this machine's lists, or, where this machine is another Debian, by lists in the cache.
debian_12_apt()
{
	local program=apt-$1 dir=$cache_dir/.debian-12

	shift
	if is_debian_12; then
		as_root "$program" -o APT::Sandbox::User=root "$@"
		return
	fi
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	echo "deb $(debian_mirror) bookworm main" >"$dir/sources.list"
	"$program" -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$dir/sources.list" \
		-o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$dir/lists" \
		-o Dir::State::Status=/dev/null -o Dir::Cache="$dir" "$@"
}

# Prints the version of an installed package, nothing when the package is not installed.
installed_version()
{
	dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' "$1" 2>/dev/null |
		sed -n 's/^ii *//p'
}

# recent DAYS NAME COMMAND...: prints the output of COMMAND, which is kept for DAYS.
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

# Prints the suite and the kernel that the table "kernels" has for a world.
kernel_row()
{
	awk -v world="$1" '$1 == world { print $2, $3 }' "$world_dir/kernels" | grep .
}

# The folder of a world's kernel.
kernel_of()
{
	case $1 in
	qemu) "$world_dir/cloud-kernel" ;;
	uml) "$world_dir/uml-kernel" plain ;;
	uml-debug) "$world_dir/uml-kernel" debug ;;
	uml-newest) "$world_dir/uml-newest-kernel" ;;
	smp-debug) "$world_dir/smp-kernel" ;;
	*) "$world_dir/debian-kernel" "$1" ;;
	esac
}

# debian_folder SUITE FOLDER PACKAGE...: makes a small Debian of that suite with these
# packages and their dependencies, without the packages that these only recommend.
debian_folder()
{
	local suite=$1 root=$2 script packages

	shift 2
	# Debian 12's debootstrap does not know the name of every newer suite. Its script
	# for sid makes every suite since bookworm.
	script=/usr/share/debootstrap/scripts/$suite
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	packages=$(IFS=,; echo "$*")
	as_root debootstrap --variant=minbase --include="$packages" \
		"$suite" "$root" "$(debian_mirror)" "$script"
	# A mirror can be behind, and debootstrap does not mind. apt in the folder does the same.
	echo 'Acquire::Check-Valid-Until "false";' |
		as_root tee "$root/etc/apt/apt.conf.d/90mirror" >/dev/null
}

forky_folder()
{
	debian_folder forky "$@"
}

# in_folder ROOT COMMAND...: runs a command in ROOT, a folder that debian_folder has made, with the
# programs of ROOT.
in_folder()
{
	local root=$1

	shift
	# The compiler's tools read /proc, which is mounted in a namespace of this command alone.
	# shellcheck disable=SC2016 # for the inner shell
	as_root unshare --mount sh -c \
		'mount -t proc proc "$1/proc" && exec chroot "$@"' sh \
		"$root" /usr/bin/env -i HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" 2>&1
}

# chroot_make ROOT DIRECTORY [ARGUMENT...]: runs make in DIRECTORY of ROOT.
chroot_make()
{
	local root=$1 dir=$2

	shift 2
	in_folder "$root" make -C "$dir" -j"$(nproc)" "$@"
}

# depends ROOT PACKAGE PATTERN: the packages that PACKAGE needs, with names as PATTERN has them. One that is
# for all processors stands in <> where PACKAGE is for another one.
depends()
{
	in_folder "$1" apt-cache depends "$2" |
		 sed -n "s/^ *Depends: <\\?\\($3[^:>]*\\).*/\\1/p"
}

# fetch_packages ROOT FOLDER PACKAGE[:ARCHITECTURE]...: the files of packages that ROOT's apt knows,
# which are not installed.
fetch_packages()
{
	local root=$1 out=$2 scratch package

	shift 2
	# The name servers of this machine, of today.
	as_root cp /etc/resolv.conf "$root/etc/resolv.conf"
	scratch=$(mktemp -d "$root/tmp/fetch.XXXXXX")
	as_root chmod 777 "$scratch"
	# shellcheck disable=SC2016 # for the inner shell
	in_folder "$root" sh -c 'cd "$1" && shift && apt-get -qq download "$@"' sh \
		"${scratch#"$root"}" "$@"
	mkdir "$out"
	for package in "$scratch"/*.deb; do
		dpkg-deb -x "$package" "$out"
	done
	as_root rm -rf "$scratch"
}
