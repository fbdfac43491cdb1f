#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# check.sh DIR: runs the harness's own tests, which are built in DIR, and compares what they print.
here=$(dirname "$0")
dir=$1
failed=0

# Without what differs from run to run (paths, line numbers, where in the kernel a task stands), and
# without a flood of lines.
tidy()
{
	sed -E -e 's/(\.c):[0-9]+:/\1:N:/' -e 's/to replay: [^ ]*\//to replay: /' \
		-e 's/task [0-9]+/task N/' -e 's/, core dumped//' \
		-e '/^ *# line [0-9]+$/d' -e '/^ *# +(wchan|syscall|stack): /d' -e '/^# (kmsg|lockdep): /d'
}

# check NAME EXPECTED-STATUS PROGRAM ARGUMENTS...
check()
{
	name=$1 want=$2 program=$3
	shift 3
	"$dir/$program" "$@" >"$dir/$name.out" 2>&1
	got=$?
	tidy <"$dir/$name.out" >"$dir/$name.tidy"
	if ! diff -u "$here/$name.ktap" "$dir/$name.tidy"; then
		echo "$name: its output is not as expected" >&2
		failed=1
	fi
	if [ "$got" != "$want" ]; then
		echo "$name: exit status $got, expected $want" >&2
		failed=1
	fi
}

check outcomes 1 outcomes -s 7
check log 0 log -s 7
check list 0 outcomes -l -v -t '*.has_variants' -t 'global.expect*'
check chosen 0 outcomes -s 7 -t fixture -t global.passes -T '*.is_torn_down'
check repeat 1 outcomes -s 7 -r 3 -t seeded.same -t fixture.two.is_torn_down
check skipped 4 outcomes -s 7 -t '*skips*' -T '*fails*'
check none 4 outcomes -s 7 -t nothing
check unable 4 unable -s 7
check bails 1 bails -s 7
exit $failed
