#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# run.sh [options of the programs]: runs all programs that stand beside it, for a machine under test
# that has neither make nor a compiler. Exit status: 1 one has failed, 4 none could run, else 0.
dir=$(dirname "$0")
passed=0 failed=0 skipped=0

for program in "$dir"/i915_userptr_*; do
	case $program in *.[cdo]) continue ;; esac
	[ -x "$program" ] || continue
	echo "# ${program##*/}"
	"$program" "$@"
	case $? in
	0) passed=$((passed + 1)) ;;
	4) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
done
echo "# programs: pass:$passed fail:$failed skip:$skipped"
[ $failed = 0 ] || exit 1
[ $passed != 0 ] || exit 4
