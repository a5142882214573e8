"""Completion: `krm completion SHELL` prints the script, and `krm __complete WORD...` what may come next.

As kubectl's plugins do it: a line a candidate, `value<TAB>description`, and last `:DIRECTIVE` (4: no files).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Sequence, Tuple

from krm.cli.options import COMMANDS, OUTPUTS, STAGES, build_parser
from krm.client.errors import KrmError
from krm.model.safetext import safe

NO_FILES, FILES = 4, 0
# Names of one answer: a shell asks at each key, and nobody reads more.
MOST = 500
# Subcommands whose first word is a kind, and those among them that take names after it.
_KINDS = ("get", "describe", "changes", "diff", "explain-trust")
_NAMES = ("get", "describe")
_NAMESPACE = ("-n", "--namespace")

Candidate = Tuple[str, str]  # value, description

_BASH = """_krm() {
    local IFS=$'\\n' out
    out=$(krm __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) || return
    local directive=${out##*:}
    out=${out%:*}
    COMPREPLY=($(compgen -W "$(printf '%s' "$out" | cut -f1)" -- "${COMP_WORDS[COMP_CWORD]}"))
    [ "$directive" = 0 ] && compopt -o default 2>/dev/null
}
complete -F _krm krm
"""
_ZSH = """#compdef krm
_krm() {
    local -a lines found
    lines=("${(@f)$(krm __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    local line
    for line in $lines; do
        [[ $line == :* ]] && continue
        found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    _describe krm found
    [[ ${lines[-1]} == ":0" ]] && _files
}
compdef _krm krm
"""
_FISH = """function __krm_complete
    set -l words (commandline -opc) (commandline -ct)
    krm __complete $words[2..-1] 2>/dev/null | string match -v ':*'
end
complete -c krm -f -a '(__krm_complete)'
"""


def run(args: argparse.Namespace) -> int:
    """Prints the shell's script."""
    sys.stdout.write({"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[args.shell])
    return 0


def complete(words: Sequence[str]) -> int:
    """`words`: after `krm`, the last one is being typed. Never fails: a shell shows nothing instead."""
    try:
        candidates, directive = _candidates(list(words) or [""])
    except (KrmError, OSError, SystemExit):
        candidates, directive = [], NO_FILES
    for value, description in candidates[:MOST]:
        print(f"{safe(value)}\t{safe(description)}" if description else safe(value))
    print(f":{directive}")
    return 0


def _candidates(words: List[str]) -> Tuple[List[Candidate], int]:
    typed, before = words[-1], words[:-1]
    if not before:
        return _starting(_commands(), typed), NO_FILES
    command = before[0]
    if command not in COMMANDS:
        return [], FILES
    if typed.startswith("-"):
        return _starting(_options(command), typed), NO_FILES
    if before[-1] in _NAMESPACE:
        return _starting(_objects("namespaces", "", before), typed), NO_FILES
    if before[-1].startswith("-") and _takes_value(command, before[-1]):
        values = _starting(_values(command, before[-1], before), typed)
        return values, NO_FILES if values else FILES
    given = _positional(command, before[1:])
    if command in ("config", "completion"):
        return _starting(_choices(command, ""), typed) if not given else [], NO_FILES
    if command not in _KINDS:
        return [], NO_FILES
    if not given:
        return _starting(_kinds(before), typed), NO_FILES
    if command in _NAMES:
        return _starting(_objects(given[0], _after(before, _NAMESPACE), before), typed), NO_FILES
    return [], NO_FILES


def _starting(candidates: List[Candidate], typed: str) -> List[Candidate]:
    return [one for one in candidates if one[0].startswith(typed)]


def _commands() -> List[Candidate]:
    built = build_parser("").commands
    found = [(name, built[name].description or "") for name in COMMANDS]
    return found + [(name, text) for name, (_, text) in STAGES.items()]


def _choices(command: str, option: str) -> List[Candidate]:
    """The words of an option, '' = of the first argument, where it takes no others."""
    for action in build_parser("").commands[command]._actions:
        if action.choices and (option in action.option_strings if option else not action.option_strings):
            return [(str(one), "") for one in action.choices]
    return []


def _values(command: str, option: str, words: List[str]) -> List[Candidate]:
    """What may follow an option that takes a value; none = perhaps a file."""
    if option in ("-o", "--output") and command == "get":
        return [(form.partition("=")[0] + form.partition("=")[1], "") for form in OUTPUTS.split(", ")]
    if option == "--context":
        return [(name, "") for name in _contexts(command, words)]
    return _choices(command, option)


def _contexts(command: str, words: List[str]) -> List[str]:
    """Those of the kubeconfig where one is meant, else of krm's configuration."""
    kubeconfig = _after(words, ("--kubeconfig",))
    if command in ("up", "doctor"):
        kubeconfig = kubeconfig or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    if not kubeconfig:
        from krm.client.contexts import config_path, read

        return sorted(read(config_path()).contexts)
    from krm.client.kubeconfig import contexts

    return contexts(kubeconfig)


def _options(command: str) -> List[Candidate]:
    found = []
    for action in build_parser("").commands[command]._actions:
        found += [(name, action.help or "") for name in action.option_strings if name.startswith("--")]
    return found


def _takes_value(command: str, option: str) -> bool:
    for action in build_parser("").commands[command]._actions:
        if option in action.option_strings:
            return action.nargs != 0
    return False


def _positional(command: str, words: List[str]) -> List[str]:
    found, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = "=" not in word and _takes_value(command, word)
        else:
            found.append(word)
    return found


def _after(words: List[str], options: Sequence[str]) -> str:
    for option, value in zip(words, words[1:]):
        if option in options:
            return value
    return ""


def _reading(words: List[str]) -> argparse.Namespace:
    return argparse.Namespace(
        redis=_after(words, ("--redis", "--url")) or None,
        server_kubeconfig=_after(words, ("--kubeconfig",)) or None,
        server_token=_after(words, ("--token-file",)) or None,
        server_ca=_after(words, ("--ca",)) or None,
        cluster=_after(words, ("--cluster",)) or None,
        place=_after(words, ("--context",)) or None,
    )


def _kinds(words: List[str]) -> List[Candidate]:
    from krm.cli.opening import open_client

    return [(kind, "") for kind in open_client(_reading(words)).kinds()]


def _objects(kind: str, namespace: str, words: List[str]) -> List[Candidate]:
    from krm.cli.opening import open_client, resolve
    from krm.client.names import is_cluster_scoped

    client = open_client(_reading(words))
    kind = resolve(client, kind)
    named = namespace or client.directory.namespace or "default"
    space = None if kind == "namespaces" or is_cluster_scoped(kind) else named
    return [(one.name, "") for one in client.snapshot(kind, space, stale_ok=True).items()]
