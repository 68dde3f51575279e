#!/usr/bin/env bats
# The manual pages: their options, their examples, their form.

bats_require_minimum_version 1.5.0
load helper

tools() {
	make -s -C "$ROOT" tools-list
}

# Options of a page: the ".It Fl" lines of its lists, one name a line.
page_options() {
	awk '/^\.It Fl/ {
		for (i = 2; i <= NF; i++) {
			if ($i == "Ar" || $i == "Cm")
				i++
			else if ($i ~ /^-[a-z0-9]/)
				print "-" $i
			else if ($i != "Fl" && length($i) == 1 && $i ~ /[A-Za-z]/)
				print "-" $i
		}
	}' "$1" | sort -u
}

help_options() {
	"$1" --help | sed -nE 's/^  ((-.), |    )(--[a-z0-9-]+).*/\2 \3/p' |
		tr ' ' '\n' | grep . | sort -u
}

without_common() {
	grep -vxE -e '--(help|version|completion)' || true
}

@test "every tool has a page, and weir(7) a line for it" {
	local t
	for t in $(tools); do
		[[ -e $ROOT/man/$t.1 ]] || { echo "no man/$t.1"; false; }
		grep -q "^\.It Xr $t 1" "$ROOT/man/weir.7" ||
			{ echo "not in weir.7: $t"; false; }
	done
}

@test "the options of each page are those of --help" {
	local t bad=0
	for t in $(tools); do
		if ! diff <(page_options "$ROOT/man/$t.1" | without_common) \
			<(help_options "$t" | without_common); then
			echo "^ $t: < page, > --help"
			bad=1
		fi
	done
	[ $bad = 0 ]
}

@test "each page says when it ends with which status" {
	local t
	for t in $(tools); do
		grep -qE '^\.Sh (EXIT STATUS)' "$ROOT/man/$t.1" ||
			{ echo "no EXIT STATUS: $t"; false; }
	done
}

# Runs the examples of a page in an empty directory; differences to stdout.
#
# In a literal block of EXAMPLES a line "$ ..." is a command ("> ..." goes on
# with it), what follows is its output.
run_examples() {
	local page=$1 dir=$2 line section='' doc='' literal='' cmd='' want='' n=0 bad=0
	mkdir -p "$dir" && cd "$dir" || return
	ln -s "$ROOT/conf" conf
	finish() {
		[[ -n $cmd ]] || return 0
		n=$((n + 1))
		printf '%s' "$want" >"../want"
		timeout 60 bash -c "$cmd" >../got 2>../err </dev/null || true
		if ! diff ../want ../got; then
			printf '^ %s: $ %s\n' "${page##*/}" "$cmd"
			head -5 ../err
			bad=1
		fi
		cmd='' want=''
	}
	while IFS= read -r line; do
		case $line in
		'.Sh EXAMPLES') section=yes ;;
		.Sh*) section='' ;;
		.Bd*-literal*) literal=$section ;;
		.Ed) finish && literal='' ;;
		.*) ;;
		*)
			[[ -n $literal ]] || continue
			line=${line//'\(aq'/\'} line=${line//'\(dq'/'"'}
			line=${line//'\-'/-} line=${line//'\&'/}
			line=${line//'\(ha'/^} line=${line//'\(ti'/'~'}
			line=${line//'\(ga'/\`}
			line=${line//'\e'/'\'}
			if [[ -n $doc ]]; then
				cmd+=$'\n'$line
				[[ $line != "$doc" ]] || doc=''
				continue
			fi
			if [[ $line == '$ '* ]]; then
				finish
				cmd=${line:2}
				[[ ! $line =~ \<\<\'?([A-Z]+) ]] || doc=${BASH_REMATCH[1]}
			elif [[ $line == '> '* && -n $cmd && -z $want ]]; then
				cmd+=$'\n'${line:2}
			elif [[ -n $cmd && -z $want && $cmd == *\\ ]]; then
				cmd+=$'\n'$line
			elif [[ -n $cmd ]]; then
				want+=$line$'\n'
			fi
			;;
		esac
	done <"$page"
	finish
	if [[ $n = 0 && $page == *.1 ]]; then
		echo "${page##*/}: no example that can be run"
		bad=1
	fi
	return $bad
}

@test "the examples of each page give what the page shows" {
	local page bad=0
	for page in "$ROOT"/man/*.[1-9]; do
		(run_examples "$page" "$T/${page##*/}.d/run") || bad=1
	done
	[ $bad = 0 ]
}

@test "mandoc has nothing to say about any page" {
	command -v mandoc >/dev/null || skip "no mandoc here"
	run mandoc -T lint -W warning "$ROOT"/man/*.[1-9]
	assert_output ""
	assert_success
}
