#!/bin/sh
# Records tests/oracles/eviction.json: what the kubelet's own eviction package makes of the cases of cases.py.
#     tests/oracles/eviction/run.sh
# Its ranking functions are not exported, so a test file is put into a copy of the package, in a folder of its own
# outside of this repository, with the modules that tests/controlplane/build/kubelet-1.36 names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$here/../../controlplane/build/kubelet-1.36
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$build/go.mod" "$build/go.sum" "$work/"
source=$(cd "$build" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
version=$(cd "$build" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
mkdir "$work/eviction"
for file in "$source"/pkg/kubelet/eviction/*.go; do
    case $file in *_test.go) ;; *) cp "$file" "$work/eviction/" ;; esac
done
chmod -R u+w "$work"
cp "$here/recorder_test.go.txt" "$work/eviction/krm_record_test.go"
python3 "$here/cases.py" > "$work/cases.json"
(cd "$work" && KRM_CASES=$work/cases.json KRM_TOLD=$work/told.json go test -mod=mod -count=1 ./eviction -run TestRecord)
python3 "$here/cases.py" "$work/cases.json" "$work/told.json" "k8s.io/kubernetes $version" > "$here/../eviction.json"
