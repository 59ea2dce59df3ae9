#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-module. TAP.
# shellcheck source=tests/road/cases.sh
road=module
. ./cases.sh
: >/tmp/daemon

echo "1..19"
cases_of_names
cases_of_bytes
case_of_a_killed_client
exit $status
