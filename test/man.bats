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

# Prints the literal blocks of a page's EXAMPLES as they are read.
examples() {
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh [^E]/p' "$1" |
		sed -n '/^\.Bd.*-literal/,/^\.Ed/p' |
		sed -e '/^\.[BE]d/s/.*/.Ed/' -e '/^\.[^E]/d' \
			-e "s/\\\\(aq/'/g; s/\\\\(dq/\"/g; s/\\\\(ha/^/g" \
			-e 's/\\(ti/~/g; s/\\(ga/`/g; s/\\-/-/g; s/\\&//g' \
			-e 's/\\e/\\/g'
}

# Runs the examples of a page, all in one shell and one empty directory; what
# differs goes to stdout.
#
# In a literal block of EXAMPLES a line "$ ..." is a command ("> ..." goes on
# with it, and here-documents do), what follows is its output.
run_examples() {
	local page=$1 dir=$2 line doc='' cmd='' n=0 i bad=0 cmds=()
	mkdir -p "$dir" && cd "$dir" || return
	ln -s "$ROOT/conf" conf
	while IFS= read -r line; do
		if [[ -n $doc ]]; then
			cmds[n]+=$'\n'$line
			[[ $line != "$doc" ]] || doc=''
		elif [[ $line == .Ed ]]; then
			cmd=''
		elif [[ $line == '$ '* ]]; then
			n=$((n + 1)) cmd=yes
			cmds[n]=${line:2}
			: >../want.$n
			[[ ! $line =~ \<\<\'?([A-Z]+) ]] || doc=${BASH_REMATCH[1]}
		elif [[ -n $cmd && ! -s ../want.$n && $line == '> '* ]]; then
			cmds[n]+=$'\n'${line:2}
		elif [[ -n $cmd && ! -s ../want.$n && ${cmds[n]} == *\\ ]]; then
			cmds[n]+=$'\n'$line
		elif [[ -n $cmd ]]; then
			printf '%s\n' "$line" >>../want.$n
		fi
	done < <(examples "$page")
	for ((i = 1; i <= n; i++)); do
		printf '{\n%s\n} >../got.%d 2>../err.%d </dev/null\n' \
			"${cmds[i]}" $i $i
	done >../script
	timeout 120 bash ../script || true
	for ((i = 1; i <= n; i++)); do
		diff ../want.$i ../got.$i && continue
		printf '^ %s: $ %s\n' "${page##*/}" "${cmds[i]}"
		head -n 5 ../err.$i
		bad=1
	done
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
