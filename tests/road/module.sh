#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-module. TAP.
# shellcheck source=tests/road/cases.sh
road=module
. ./cases.sh
: >/tmp/daemon

echo "1..18"
cases_of_names
cases_of_bytes
exit $status
