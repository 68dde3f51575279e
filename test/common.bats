#!/usr/bin/env bats
# What every tool does alike: options, faults of stdin and stdout, limits.

bats_require_minimum_version 1.5.0
load helper

tools() {
	make -s -C "$ROOT" tools-list
}

# Plainly called, so that each failing line in the function ends the test;
# teardown says which tool it was.
for_each_tool() { # FUNCTION
	for TOOL in $(tools); do
		"$1" "$TOOL"
	done
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || echo "tool: ${TOOL:-}"
}

@test "--help begins with the usage, --version with name and number" {
	one() {
		run -0 "$1" --help
		[[ ${lines[0]} == "usage: $1 "* ]]
		assert_line --regexp '^      --help  +print this'
		run -0 "$1" --version
		[[ ${lines[0]} =~ ^"$1 "[0-9]+\.[0-9]+ ]]
		assert_output --partial "restraint:"
	}
	for_each_tool one
}

@test "--help and --version on a full or closed stdout end with 74" {
	one() {
		local o
		for o in --help --version --completion=bash; do
			run -74 bash -c '"$1" "$2" >/dev/full' - "$1" $o
			assert_output "$1: stdout: cannot write: No space left on device"
			run -74 bash -c '"$1" "$2" >&-' - "$1" $o
			assert_output --partial "$1: stdout: cannot write"
		done
	}
	for_each_tool one
}

@test "an unknown option is named with the usage, exit 64, stdout empty" {
	one() {
		run -64 --separate-stderr "$1" --no-such-option=hush
		[ -z "$output" ]
		[ "${stderr_lines[0]}" = "$1: --no-such-option: unknown option" ]
		[[ ${stderr_lines[1]} == "usage: $1 "* ]]
		[[ $stderr != *hush* ]]
	}
	for_each_tool one
}

@test "an empty environment and any locale give the same --help" {
	one() {
		local l path
		path=$(command -v "$1")
		"$1" --help >want
		(cd / && exec env -i "$path" --help) | cmp - want
		for l in C C.UTF-8 de_DE.UTF-8 tr_TR.UTF-8 none; do
			LC_ALL=$l LANG=$l TZ=Asia/Tokyo "$1" --help | cmp - want
		done
	}
	for_each_tool one
}

@test "no option takes a secret, only the name of a file that holds one" {
	one() {
		run bash -c '"$1" --help | grep -iE "^ .*--[a-z-]*(passw|token|secret|salt|credential)" |
			grep -vE -- "--[a-z-]*(file|version)"' - "$1"
		assert_output ""
	}
	for_each_tool one
}

@test "completion for bash and zsh names every option" {
	one() {
		local o
		"$1" --completion=bash >c.bash
		bash -n c.bash
		"$1" --completion=zsh >c.zsh
		for o in $("$1" --help | grep -oE '^ .*--[a-z-]+ ' |
			grep -oE -- '--[a-z-]+'); do
			grep -q -- "$o" c.bash
			grep -q -- "$o" c.zsh
		done
	}
	for_each_tool one
}

@test "16 descriptors are enough to begin" {
	one() {
		run -0 bash -c 'ulimit -n 16; "$1" --version' - "$1"
	}
	for_each_tool one
}

@test "the programs are hardened: PIE, RELRO, no executable stack" {
	command -v readelf >/dev/null || skip "no readelf here"
	one() {
		local f
		f=$(command -v "$1")
		readelf -hW "$f" | grep -q 'Type:.*DYN'
		readelf -lW "$f" | grep -q GNU_RELRO
		readelf -dW "$f" | grep -q 'BIND_NOW\|FLAGS.*NOW'
		run -1 bash -c 'readelf -lW "$1" | grep GNU_STACK | grep E' - "$f"
	}
	for_each_tool one
}
