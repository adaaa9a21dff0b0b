# SPDX-License-Identifier: Apache-2.0
# bash completion for cella
_cella()
{
    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words=
    if ((COMP_CWORD == 1)); then
        words="run ps logs exec stop wait rm prune info help --version"
    elif [[ $cur == -* ]]; then
        case $verb in
        run) words="--tee --root -v -e --workdir --user --hostname --cpus --memory -t -d --name --log-max --log-format --trace --stats" ;;
        ps) words="-a --json" ;;
        logs) words="-f --tail" ;;
        exec) words="-t -i -e --user --workdir" ;;
        stop) words="--time" ;;
        rm) words="-f" ;;
        info) words="--json" ;;
        esac
    else
        case $verb in
        help) words="run ps logs exec stop wait rm prune info" ;;
        exec | stop) words=$(cella ps 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
        logs | rm | wait) words=$(cella ps -a 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _cella cella
