# Sections, skips, the closing count, and how cargo builds the connectors, for `tests/run` and `.ci/run`. To be sourced.

# `.ci/run` goes on into `tests/run` and keeps its counts.
[[ -v passed ]] && return

passed=0
failed=0
failures=()
# What the failed sections said of it, for the closing lines: the end of a long log is often all that is kept of it.
reasons=
skips=()
[[ ${CI:-} == true ]] && export FERRATA_TESTS_REQUIRE_ALL=1

# section NAME COMMAND...: runs it, shows what it prints, and counts the tests in it; a command that runs no tests of
# its own counts as one.
section() {
    local name=$1 log status before=$SECONDS
    shift
    log=$(mktemp)
    printf '\n== %s\n' "$name"
    # Not in a subshell: sections may export what later ones read.
    "$@" > >(tee "$log") 2>&1
    status=$?
    wait $!
    count "$log" "$status" "$name"
    rm -f "$log"
    printf -- '-- %s: %s after %d s\n' "$name" "$([[ $status == 0 ]] && echo passed || echo FAILED)" $((SECONDS - before))
}

# Adds up cargo's "test result: ok. 5 passed; 0 failed; …" lines.
count() {
    local log=$1 status=$2 name=$3 p f
    read -r p f < <(awk '/^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
        END { print p + 0, f + 0 }' "$log")
    ((p + f == 0)) && { [[ $status == 0 ]] && p=1 || f=1; }
    # Failed before or after its tests: a build error, a crash.
    [[ $status != 0 && $f == 0 ]] && f=1
    passed=$((passed + p)) failed=$((failed + f))
    [[ $status == 0 ]] && return
    failures+=("$name")
    reasons+=$(reasons_in "$log")$'\n'
}

# The failed tests with the first lines of what they said; of a command without such, the last lines.
reasons_in() {
    local reasons
    reasons=$(awk '/^---- .* stdout ----$/ { left = 7 } left-- > 0 { print "  " substr($0, 1, 400) }' "$1" | head -n 40)
    [[ $reasons ]] || reasons=$(tail -n 10 "$1" | sed 's/^/  /')
    printf '%s' "$reasons"
}

# skip WHAT WHY: a failure where nothing may be skipped.
skip() {
    if [[ -n ${FERRATA_TESTS_REQUIRE_ALL:-} ]]; then
        printf '\n== %s\nFAILED: %s\n' "$1" "$2"
        failed=$((failed + 1)) failures+=("$1: $2")
    else
        skips+=("$1: $2")
    fi
}

# The package of a Cargo.toml.
package_of() {
    sed -n 's/^name = "\(.*\)"/\1/p' "$1" | head -1
}

# The connectors that come with Ferrata, and those for tests.
connector_packages() {
    local manifest
    for manifest in {plugins,tests/guests}/*/Cargo.toml; do
        package_of "$manifest"
    done
}

mapfile -t connectors < <(connector_packages)
as_components=(--profile component --target wasm32-wasip2 "${connectors[@]/#/--package=}")

find_postgres() {
    command -v pg_ctl >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null
}

# The closing lines, and the exit status of the whole.
summary() {
    printf '\n'
    ((${#skips[@]})) && printf 'skipped: %s\n' "${skips[@]}"
    printf '%s' "$reasons"
    ((${#failures[@]})) && printf 'FAILED: %s\n' "${failures[@]}"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "${#skips[@]}"
    ((failed == 0))
}
