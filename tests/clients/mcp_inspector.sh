#!/usr/bin/env bash
# Lists the tools of an MCP server and calls one, with the Inspector's command line.
#
#     mcp_inspector.sh TOOL ARGUMENTS (URL | COMMAND [ARGUMENT...])
#
# ARGUMENTS is a JSON object whose values are handed on as the Inspector takes them: KEY=VALUE. The folder of installed
# clients (`install` prints it) is taken from FERRATA_TEST_CLIENTS, a bearer token for a URL from FERRATA_TEST_TOKEN. Prints
# two lines of JSON: the list as it came, and the call's result as it came.
set -euo pipefail
tool=$1 arguments=$2
shift 2
modules=${FERRATA_TEST_CLIENTS:?}/javascript/node_modules
# The Inspector wants a newer Node than the machine may have; the pinned one stands among the packages.
PATH=$modules/.bin:$PATH

inspect() {
    local method=(--method "$1") header=()
    shift
    [[ -n ${FERRATA_TEST_TOKEN:-} ]] && header=(--header "Authorization: Bearer $FERRATA_TEST_TOKEN")
    node "$modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js" --cli "${target[@]}" "${method[@]}" "${header[@]}" "$@" |
        node -e 'process.stdin.setEncoding("utf8"); let text = ""; process.stdin.on("data", (part) => (text += part));
            process.stdin.on("end", () => console.log(JSON.stringify(JSON.parse(text))))'
}

target=("$@")
pairs=()
while IFS= read -r pair; do pairs+=(--tool-arg "$pair"); done < <(node -e '
    for (const [key, value] of Object.entries(JSON.parse(process.argv[1])))
        console.log(`${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)' "$arguments")
inspect tools/list
inspect tools/call --tool-name "$tool" "${pairs[@]}"
