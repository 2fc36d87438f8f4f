"""`afield completion`: the script that has a shell complete commands, options and live names."""

from __future__ import annotations

import click

from afield.cli import show

BASH = """\
# Completion for afield. In ~/.bashrc:  source <(afield completion bash)
_afield() {
    local words=() word out line joined=0 number=0 cword=0 typed="" kind=""
    # Readline takes words apart at = and :, afield does not.
    for (( number = 0; number <= COMP_CWORD; number++ )); do
        word=${COMP_WORDS[number]}
        if (( ${#words[@]} )) && { (( joined )) || [[ $word == [:=]* ]]; }; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        joined=0
        [[ $word == *[:=] && -n ${COMP_WORDS[number + 1]-} ]] && joined=1
    done
    cword=$(( ${#words[@]} - 1 ))
    typed=${words[cword]}
    COMPREPLY=()
    out=$(afield completion --words "$cword" "${words[@]}" 2>/dev/null) || return 0
    while IFS= read -r line; do
        if [[ -z $kind ]]; then
            kind=$line
            continue
        fi
        line=${line%%$'\\t'*}
        # What stands before the last : or = of the word is there already.
        if [[ $typed == *[:=]* ]]; then line=${line#"${typed%"${typed##*[:=]}"}"}; fi
        COMPREPLY+=("$line")
    done <<< "$out"
    if [[ $kind == files ]]; then compopt -o default 2>/dev/null; fi
    if (( ${#COMPREPLY[@]} == 1 )) && [[ ${COMPREPLY[0]} == *: ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}
complete -F _afield afield
"""

ZSH = """\
#compdef afield
# Completion for afield. In ~/.zshrc, after compinit:  source <(afield completion zsh)
_afield() {
    local -a lines values shown
    local line
    lines=("${(@f)$(afield completion --words $(( CURRENT - 1 )) "${(@)words[1,CURRENT]}" 2>/dev/null)}")
    for line in "${(@)lines[2,-1]}"; do
        values+=("${line%%$'\\t'*}")
        shown+=("${line/$'\\t'/  -- }")
    done
    (( ${#values} )) && compadd -l -d shown -- "${values[@]}"
    [[ ${lines[1]} == files ]] && _files
    return 0
}
(( $+functions[compdef] )) && compdef _afield afield
"""

FISH = """\
# Completion for afield. Once:  afield completion fish > ~/.config/fish/completions/afield.fish
function __afield_complete
    set -l before (commandline -opc)
    set -l now (commandline -ct)
    set -l lines (afield completion --words (count $before) $before "$now" 2>/dev/null)
    test (count $lines) -gt 1; and string join \\n $lines[2..-1]
    test "$lines[1]" = files; and __fish_complete_path "$now"
end
complete -c afield -f -a '(__afield_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@click.command(name="completion", short_help="the script that completes words in your shell")
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def command(shell: str) -> None:
    """Print the script that has your shell complete commands, options, nodes, jobs and secrets.

    \b
      source <(afield completion bash)      in ~/.bashrc
      source <(afield completion zsh)       in ~/.zshrc, after compinit
      afield completion fish > ~/.config/fish/completions/afield.fish
    """
    print(SCRIPTS[shell], end="")
    show.hint("it works from the next line on that is typed after the script was read")
