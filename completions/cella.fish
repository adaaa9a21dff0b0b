# SPDX-License-Identifier: Apache-2.0
# fish completion for cella
function __cella_keeps
    cella ps $argv 2>/dev/null | awk 'NR > 1 { print $1 }'
end
complete -c cella -n __fish_use_subcommand -f -a 'run ps logs exec stop wait rm prune info help'
complete -c cella -n '__fish_seen_subcommand_from exec stop' -f -a '(__cella_keeps)'
complete -c cella -n '__fish_seen_subcommand_from logs rm wait' -f -a '(__cella_keeps -a)'
complete -c cella -n '__fish_seen_subcommand_from run' -l tee -l root -l workdir -l user -l hostname -l cpus -l memory -l name -l log-max -l log-format -x
complete -c cella -n '__fish_seen_subcommand_from run' -s d -d 'in the background'
complete -c cella -n '__fish_seen_subcommand_from run exec' -s t -d 'a terminal of its own'
complete -c cella -n '__fish_seen_subcommand_from run exec' -s e -x -d 'NAME=VALUE'
complete -c cella -n '__fish_seen_subcommand_from exec' -l user -l workdir -x
complete -c cella -n '__fish_seen_subcommand_from ps' -s a -l json
complete -c cella -n '__fish_seen_subcommand_from logs' -s f -d follow
complete -c cella -n '__fish_seen_subcommand_from logs' -l tail -x
complete -c cella -n '__fish_seen_subcommand_from stop' -l time -x
complete -c cella -n '__fish_seen_subcommand_from rm' -s f -d 'end it first'
complete -c cella -n '__fish_seen_subcommand_from help' -f -a 'run ps logs exec stop wait rm prune info'
