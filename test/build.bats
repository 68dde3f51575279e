#!/usr/bin/env bats
# The build: what it makes, links, installs and asks of the machine.

bats_require_minimum_version 1.5.0
load helper

mk() {
	make -s -C "$ROOT" B="$WEIR_B" "$@"
}

@test "a tool links only what it uses" {
	command -v objdump >/dev/null || skip "no objdump here"
	needed() {
		objdump -p "$WEIR_BIN/$1" | sed -n 's/^ *NEEDED *//p'
	}
	run needed ndjson-dedup
	refute_output --regexp 'libcurl|libjq|sqlite'
	run needed event-id
	refute_output --regexp 'libcurl|libjq|sqlite'
	run needed kpi-agg
	refute_output --regexp 'libcurl|sqlite'
	run needed sqlite-load
	assert_output --partial sqlite
	refute_output --partial libcurl
}

@test "two builds are equal" {
	[[ -z ${SAN:-} ]] || skip "not under a sanitizer"
	local d
	for d in one two; do
		make -s -C "$ROOT" B="$T/$d" "$T/$d/lib/dec.o" \
			"$T/$d/lib/opt.o" "$T/$d/lib/buf.o"
		(cd $d/lib && ar rcD ../a.a ./*.o)
	done
	cmp one/a.a two/a.a
}

@test "install puts programs, pages, configuration and completion below DESTDIR" {
	local t m
	run mk install DESTDIR="$T/dest" PREFIX=/opt/weir
	assert_success
	for t in $(mk tools-list); do
		run "$T/dest/opt/weir/bin/$t" --version
		assert_success
		[ -s "dest/opt/weir/share/bash-completion/completions/$t" ]
		[ -s "dest/opt/weir/share/zsh/site-functions/_$t" ]
		[ -s "dest/opt/weir/share/man/man1/$t.1" ]
	done
	for m in "$ROOT"/man/*.[1-9]; do
		[ -s "dest/opt/weir/share/man/man${m##*.}/${m##*/}" ]
	done
	[ -s dest/opt/weir/share/weir/conf/kpis.jq ]
	[ -x dest/opt/weir/share/weir/pipelines/daily ]
	[ "$(find dest -perm /022 ! -type l | wc -l)" = 0 ]
	[ "$(ls dest)" = opt ]
	# installed, the pipelines work without the checkout
	run env -i PATH="$T/dest/opt/weir/bin:/usr/bin:/bin" \
		WEIR_HOME="$T/home" "$T/dest/opt/weir/share/weir/pipelines/setup"
	assert_success
	[ -s home/warehouse.db ]
	run mk uninstall DESTDIR="$T/dest" PREFIX=/opt/weir
	assert_success
	run find dest ! -type d
	assert_output ""
}

@test "dist makes the same archive twice" {
	[[ -d $ROOT/.git ]] || skip "not a git checkout"
	command -v git >/dev/null || skip "no git here"
	git -C "$ROOT" rev-parse HEAD >/dev/null 2>&1 ||
		skip "the checkout belongs to another user"
	local rev
	rev=$(git -C "$ROOT" rev-parse HEAD)
	make -s -C "$ROOT" B="$T/one" REV="$rev" dist
	make -s -C "$ROOT" B="$T/two" REV="$rev" dist
	cmp one/weir-*.tar.gz two/weir-*.tar.gz
	tar -tzf one/weir-*.tar.gz | grep -qx 'weir-[0-9.]*/bootstrap'
}

# --- bootstrap ----------------------------------------------------------------

# A machine where dpkg knows the packages named, and apt-get and make write
# down how they are called.
machine() {
	mkdir -p fake
	printf '%s\n' "$@" >known
	cat >fake/dpkg-query <<-'END'
	#!/bin/sh
	for name; do :; done
	grep -qx -e "$name" -e all "$KNOWN" && echo "installed "
	END
	cat >fake/apt-get <<-'END'
	#!/bin/sh
	echo "apt-get $*" >>"$CALLS"
	END
	cat >fake/make <<-'END'
	#!/bin/sh
	echo "make $*" >>"$CALLS"
	END
	cat >fake/clang <<-'END'
	#!/bin/sh
	echo 14.0.6
	END
	cat >fake/sudo <<-'END'
	#!/bin/sh
	"$@"
	END
	chmod +x fake/*
	: >calls
	export KNOWN=$T/known CALLS=$T/calls
	PATH=$T/fake:$PATH
}

@test "bootstrap alone explains itself and does nothing" {
	machine
	run "$ROOT/bootstrap"
	assert_success
	assert_line --partial "./bootstrap demo"
	assert_line --partial "./bootstrap check"
	[ ! -s calls ]
}

@test "bootstrap installs nothing where nothing is missing" {
	machine all
	run "$ROOT/bootstrap" check FOO=1
	assert_success
	assert_output "bootstrap: make check FOO=1"
	run cat calls
	assert_output --regexp '^make -s -j [0-9]+ --no-print-directory check FOO=1$'
}

@test "bootstrap installs what is missing, after one update" {
	machine gcc make
	run "$ROOT/bootstrap" demo
	assert_success
	run cat calls
	assert_line -n 0 --regexp '^apt-get .*update$'
	assert_line -n 1 --regexp '^apt-get .* install --no-install-recommends .*libjq-dev'
	refute_line --regexp 'install .* (gcc|make|bats|clang|valgrind)( |$)'
	assert_line -n 2 --regexp '^make .* demo$'
	: >calls
	run "$ROOT/bootstrap" check
	run cat calls
	assert_line --regexp 'install .* bats-assert '
	assert_line --regexp 'install .*libclang-rt-14-dev'
	[ "$(grep -c update calls)" = 1 ]
}

@test "bootstrap build makes all; it works from any directory" {
	machine all
	mkdir -p elsewhere
	cd elsewhere
	run "$ROOT/bootstrap" build
	assert_success
	run cat ../calls
	assert_output --regexp '^make .* all$'
}
